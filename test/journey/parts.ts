import type { StopSignal } from '#base/async.ts'
import { Secret } from '#base/secret.ts'
import { parseAddress } from '#base/address.ts'
import type { Address } from '#base/address.ts'
import type { Client, Relayed, ReplySink, Upgraded } from '#contracts/reply.ts'
import type { Outbound, Sent } from '#contracts/upstream.ts'
import type { Ports } from '#journey/ports.ts'
import type { ProxyAuth, RawHeaders, RequestArrival, RequestBody, RequestHead } from '#contracts/request.ts'
import { LiveSet } from '#journey/live.ts'
import { MemoryAccount } from '#base/memory-account.ts'
import { Admissions } from '#metering/admissions.ts'
import { EmbeddedLedger } from '#store/sqlite/ledger.ts'
import type { AuditRecord } from '#contracts/audit-record.ts'
import type { Snapshot } from '#contracts/snapshot.ts'
import { hashes } from '#vault/hashes.ts'
import { env } from '#vault/sources/env.ts'
import { LiveVault } from '#vault/vault.ts'
import { ManualClock } from '../kit/clock.ts'
import { hostOf } from '../kit/policy.ts'

export function addressOf(text: string): Address {
  const address = parseAddress(text)
  if (!address) throw new Error(`not an address: ${text}`)
  return address
}

export function headOf(some: Partial<Omit<RequestHead, 'host'>> & { readonly host?: string } = {}): RequestHead {
  return {
    scheme: 'https',
    port: 443,
    method: 'GET',
    path: '/',
    query: '',
    headers: [],
    ...some,
    host: hostOf(some.host ?? 'good.test'),
  }
}

/** A request of agent `a` by the transparent door, as far as it is not said otherwise. */
export function arrivalOf(
  head: Parameters<typeof headOf>[0] = {},
  some: Partial<RequestArrival> & { readonly from?: string } = {},
): RequestArrival {
  const { from = '127.0.0.1', ...rest } = some
  return {
    kind: 'request',
    door: 'https',
    protocol: 'http/1.1',
    peer: { address: addressOf(from), port: 4711 },
    head: headOf(head),
    ...rest,
  }
}

export function proxyAuth(username: string, password: string): ProxyAuth {
  return { username, password: new Secret('proxy password', password) }
}

export function bodyOf(chunks: readonly (string | Uint8Array | Error)[], trailers: RawHeaders = []): RequestBody {
  async function* read(): AsyncGenerator<Uint8Array> {
    for (const chunk of chunks) {
      if (chunk instanceof Error) throw chunk
      yield Buffer.from(chunk)
    }
  }
  return { chunks: read(), length: undefined, trailers: () => trailers }
}

/** The agent's side, written down. */
export class Recorder implements Client {
  onDrain: () => void = () => {}
  /** What `data` answers. */
  ready = true
  status: number | undefined
  headers: RawHeaders = []
  trailers: RawHeaders | undefined
  readonly interim: [number, RawHeaders][] = []
  readonly chunks: Buffer[] = []
  proceeded = 0
  aborted = 0
  relayed: Upgraded | undefined
  /** What the relay of an upgrade does. */
  onRelay: (signal: StopSignal) => Promise<Relayed> = async () => ({ bytesUp: 0, bytesDown: 0 })

  get begun(): boolean {
    return this.status !== undefined
  }

  get text(): string {
    return Buffer.concat(this.chunks).toString('latin1')
  }

  /** The `error` object of a refusal. */
  get refusal(): Record<string, unknown> {
    return (JSON.parse(this.text) as { error: Record<string, unknown> }).error
  }

  proceed(): void {
    this.proceeded += 1
  }

  abort(): void {
    this.aborted += 1
  }

  relay(upgraded: Upgraded, signal: StopSignal): Promise<Relayed> {
    this.relayed = upgraded
    return this.onRelay(signal)
  }

  informational(status: number, headers: RawHeaders): void {
    this.interim.push([status, headers])
  }

  head(status: number, headers: RawHeaders): void {
    this.status = status
    this.headers = headers
  }

  data(chunk: Uint8Array): boolean {
    this.chunks.push(Buffer.from(chunk))
    return this.ready
  }

  end(trailers: RawHeaders): void {
    this.trailers = trailers
  }
}

export type Send = (
  outbound: Outbound,
  body: RequestBody | undefined,
  sink: ReplySink,
  signal: StopSignal,
) => Promise<Sent> | Sent

/** Reads a body to its end. */
export async function readAll(body: RequestBody | undefined): Promise<string> {
  let text = ''
  if (body) for await (const chunk of body.chunks) text += Buffer.from(chunk).toString('latin1')
  return text
}

/** Answers 200 with the words; what was sent up is read first. */
export function replying(text = 'hello', headers: RawHeaders = [], status = 200): Send {
  return async (_outbound, body, sink) => {
    await readAll(body)
    sink.head(status, headers)
    if (text !== '') sink.data(Buffer.from(text, 'latin1'))
    sink.end([])
    return { address: '192.0.2.1:443' }
  }
}

export interface World {
  readonly ports: Ports
  readonly clock: ManualClock
  readonly live: LiveSet
  readonly vault: LiveVault
  readonly records: AuditRecord[]
  readonly sent: Outbound[]
  /** What the upstream does next. */
  send: Send
  snapshot: Snapshot | undefined
}

/** Everything the journey needs: a real vault over variables, a manual clock, and an upstream that does what it is told. */
export function worldOf(snapshot: Snapshot | undefined, variables: Readonly<Record<string, string>> = {}): World {
  const clock = new ManualClock()
  const live = new LiveSet()
  const vault = new LiveVault([env(variables)])
  if (snapshot) vault.use(snapshot)
  const records: AuditRecord[] = []
  const sent: Outbound[] = []
  let count = 0
  const world: World = {
    clock,
    live,
    vault,
    records,
    sent,
    snapshot,
    send: replying(),
    ports: {
      clock,
      live,
      vault,
      memory: new MemoryAccount({ bytes: 256 << 20 }),
      runs: { find: () => undefined, boundTo: () => undefined },
      logins: { capture: () => Promise.reject(new Error('nobody logs in here')) },
      ids: { next: () => `id-${++count}` },
      policies: { current: () => world.snapshot },
      audit: { write: (record) => void records.push(record) },
      desk: new Admissions({ ledger: new EmbeddedLedger('no file is made before a budget asks for one'), clock, news: () => {} }),
      hashes,
      upstream: {
        send: async (outbound, body, sink, signal) => {
          sent.push(outbound)
          return world.send(outbound, body, sink, signal)
        },
        connect: () => Promise.reject(new Error('nothing is spliced here')),
      },
    },
  }
  return world
}

/** The first value of a header in a flat list. */
export function valueOf(headers: RawHeaders, name: string): string | undefined {
  const at = headers.findIndex((text, i) => i % 2 === 0 && text.toLowerCase() === name)
  return at < 0 ? undefined : headers[at + 1]
}
