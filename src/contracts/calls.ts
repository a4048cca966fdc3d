/** Calls that the proxy makes for itself. */
import type { Host } from '#base/host.ts'
import type { TokenCall, TokenEndpoint, TokenReply } from '#credentials/lease.ts'
import type { WhoamiQuestion, WhoamiReply } from '#credentials/whoami/types.ts'

/** Calls to token endpoints: the same guarded way out as everything else, with a record of each. */
export interface TokenCaller {
  /**
   * Throws `ProxyError` for trouble on the network, for time-outs and for replies over 1 MiB. The codes that speak of
   * resolving, connecting, TLS and of what may not be dialled mean that nothing was sent; all others leave that open.
   */
  call(credential: string, endpoint: TokenEndpoint, call: TokenCall): Promise<TokenReply>
}

/** Questions about a value in force, asked as the proxy's own calls are: guarded, with a record of each. */
export interface WhoamiAsker {
  /** Throws `ProxyError` for trouble on the network, for time-outs and for replies over 1 MiB. */
  ask(credential: string, host: Host, question: WhoamiQuestion): Promise<WhoamiReply>
}
