/** Which requests `learn` does not put into a rule by itself, and why. */
import { parseHost } from '#base/host.ts'
import { mintedBy } from '#policy/minting.ts'
import { question } from '#policy/match.ts'
import type { Ask } from '#policy/types.ts'

/** A kind of request that a person should decide. `doh` and `mint` no rule of `learn` would allow. */
export const risks = ['delete', 'upload', 'mint', 'doh', 'address', 'refused'] as const
export type Risk = (typeof risks)[number]

/** Public services that anyone can put a file on: what is uploaded there has left. */
const storage =
  /(?:^|\.)(?:s3[.-][a-z0-9.-]*amazonaws\.com|s3\.amazonaws\.com|storage\.googleapis\.com|blob\.core\.windows\.net|r2\.cloudflarestorage\.com|digitaloceanspaces\.com|backblazeb2\.com|wasabisys\.com|content\.dropboxapi\.com|upload\.box\.com|pastebin\.com|paste\.rs|transfer\.sh|file\.io|0x0\.st|catbox\.moe|hastebin\.com|ngrok\.io|ngrok-free\.app|webhook\.site|requestbin\.com)$/

const uploads = /^\/upload\/(?:drive|storage)\//

/** Resolvers that take questions over HTTPS. */
const resolvers =
  /^(?:dns\.google|cloudflare-dns\.com|(?:[\w-]+\.)?cloudflare-dns\.com|one\.one\.one\.one|dns\d*\.quad9\.net|doh\.opendns\.com|dns\.nextdns\.io|doh\.[\w.-]+|dns\.adguard(?:-dns)?\.com|mozilla\.cloudflare-dns\.com)$/

const writes: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH'])

export interface RiskFound {
  readonly risk: Risk
  /** For people, after "left out: ". */
  readonly why: string
}

/** Why a request is left out; `undefined`: nothing speaks against it. `agent` is only a name here. */
export function riskOf(agent: string, ask: Ask): RiskFound | undefined {
  const { host, method, path } = ask
  if (parseHost(host) === undefined) return { risk: 'address', why: 'it names an address, and rules name hosts' }
  if (resolvers.test(host) || /\/dns-query\/?$/.test(path))
    return { risk: 'doh', why: 'it asks for names over HTTPS, around the DNS of the proxy' }
  const asked = question(agent, ask)
  if ('refused' in asked) return { risk: 'refused', why: asked.refused }
  const minted = mintedBy({ signing: 'none' }, asked)
  if (minted !== undefined) return { risk: 'mint', why: `it answers with ${minted}` }
  if (method === 'DELETE') return { risk: 'delete', why: 'it deletes' }
  if (writes.has(method) && (storage.test(host) || uploads.test(path)))
    return { risk: 'upload', why: 'it uploads to a place that anyone can read from' }
  return undefined
}
