import type { Stage } from '../stage.ts'

/** How a client reaches a proxy: a tunnel asked for with CONNECT, or TLS as if to the host itself. */
export type Way = 'connect' | 'tls'

/** A proxy that stands beside ours in a table. */
export interface Contender {
  readonly name: string
  readonly way: Way
  /** Requests until its figures settle; a just-in-time compiler needs many. */
  readonly warm: number
  /** Whether it opens what it carries. One that does not is a bound, not a peer. */
  readonly opens: boolean
  /** Which version it is; `undefined`: it is not installed here. */
  version(): string | undefined
  /** `upstream`: the address of the scenario's, for a proxy that knows one only. Resolves when it takes connections. */
  start(stage: Stage, core: string, upstream: string): Promise<Proxy>
}

export interface Proxy {
  /** Where it listens; loopback unless told. */
  readonly at?: string
  readonly port: number
  /** 0: there is no process whose cost could be told. */
  readonly pid: number
  /** Milliseconds from its start until it took connections. */
  readonly startedIn: number
  stop(signal?: 'SIGKILL' | 'SIGTERM'): Promise<void>
}

/** What V8 needs before its figures settle: each part of a proxy is compiled once it has proved to be worth it. */
export const warmNode = 100_000
export const warmNative = 2000
