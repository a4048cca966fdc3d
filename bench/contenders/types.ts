import type { Stage } from '../stage.ts'

/** How a client reaches a proxy: a tunnel asked for with CONNECT, or TLS as if to the host itself. */
export type Way = 'connect' | 'tls'

/** A proxy that stands beside ours in a table. */
export interface Contender {
  readonly name: string
  readonly way: Way
  /** What it is and in which version; `undefined`: it is not installed here. */
  version(): string | undefined
  /** `upstream`: the address of the scenario's, for a proxy that knows one only. Resolves when it takes connections. */
  start(stage: Stage, core: string, upstream: string): Promise<Proxy>
}

export interface Proxy {
  readonly port: number
  readonly pid: number
  stop(): Promise<void>
}
