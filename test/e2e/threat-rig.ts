/**
 * What must hold after every attack, whatever the attack was? One rig per file: a scenario with recorders wherever a
 * packet could go, and a harness that looks at the invariants after each case, so that no test can forget one.
 */
import { closeSync, existsSync, openSync, readSync, statSync } from 'node:fs'
import { get } from 'node:http'
import type { Duplex } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'vitest'
import type { ErrorCode } from '#base/errors.ts'
import type { AuditRecord } from '#contracts/audit-record.ts'
import type { SettingsInput } from '../kit/app.ts'
import { findLeaks, type Sink } from '../kit/canary.ts'
import type { Started } from '../kit/listen.ts'
import { connectThroughProxy, exchange, openH2, openTcp, openTls, requestH2, type H2Reply } from '../kit/raw.ts'
import { parseReplies, repliesOf, type RawReply } from '../kit/reply.ts'
import { scenario, type Scenario, type UpstreamPlan } from '../kit/scenario.ts'
import { startUpstream, type Upstream } from '../kit/upstream.ts'
import type { Reading, Until } from '../kit/wire.ts'
import { handles, seriesOf, strangeLabels } from './threat-signs.ts'

/** How bytes come in: the plain and the TLS door, the explicit proxy, and TLS inside a CONNECT. */
export type Way = 'http' | 'https' | 'proxy' | 'tunnel'

export interface SayOptions {
  /** SNI, and CONNECT target of a tunnel; `good.test` by default. */
  readonly name?: string
  /** Source address: which agent speaks. */
  readonly from?: string
  readonly until?: Until
  /** Milliseconds. */
  readonly timeout?: number
}

/** What an agent read. */
export interface Heard extends Reading {
  readonly replies: readonly RawReply[]
  /** Of the first final reply; 0 without one. */
  readonly status: number
  /** Error code in the body of the first final reply. */
  readonly code: string | undefined
}

/** A code of the table, or `allow` for what was let through. */
export type Verdict = ErrorCode | 'allow'

/** What the audit must say, which may depend on what the agent was told. */
export type Expected<Value> = readonly Verdict[] | ((value: Value) => readonly Verdict[])

export type Recorders = Record<string, Started>
type Common = { readonly main: Upstream; readonly plain: Upstream; readonly trap: Upstream; readonly control: Upstream }

export interface RigOptions<More extends Recorders> {
  /** Lines of YAML below `agents:`, `credentials:`, `rules:` and `dns:`. */
  readonly agents?: string
  readonly credentials?: string
  readonly rules?: string
  readonly dns?: string
  /** Names of secret files beside `service`. */
  readonly secrets?: readonly string[]
  /** Names that lead to the recorder `main`, beside the usual. */
  readonly hosts?: readonly string[]
  readonly upstreams?: { readonly [Name in keyof More]: UpstreamPlan<More[Name]> }
  readonly settings?: SettingsInput
}

/** What happened in one case. */
export interface Case<Value> {
  readonly value: Value
  readonly records: readonly AuditRecord[]
}

export const stub = 'proxy-token-service'
export const [alice, bob, stranger] = ['127.0.0.1', '127.0.0.2', '127.0.0.9'] as const

const everyRecord: (record: AuditRecord) => boolean = () => true

/** Nobody may reach these; they lead to a recorder, so that a packet to them is seen. */
const forbidden = [
  'evil.test',
  'good.test.evil.test',
  'notgood.test',
  'good.test-evil.test',
  'zone.test',
  'tunnel.evil.test',
] as const

export class Rig<More extends Recorders = Recorders> implements AsyncDisposable {
  readonly scene: Scenario<Common & More>
  readonly #handles: number
  #sinks: Sink[] = []
  #cases = 0
  #auditRead = 0
  #logRead = 0

  constructor(scene: Scenario<Common & More>, handles: number) {
    this.scene = scene
    this.#handles = handles
  }

  /** The real value of a credential's secret file. */
  real(name = 'service'): string {
    return this.scene.files.secrets[name] ?? ''
  }

  /** Has the canary scan of this case look here too. */
  read(name: string, bytes: string | Uint8Array): void {
    this.#sinks.push({ name, bytes: Buffer.from(bytes) })
  }

  async open(way: Way, { name = 'good.test', from }: SayOptions = {}): Promise<Duplex> {
    const { ports } = this.scene
    const source = from === undefined ? {} : { from }
    switch (way) {
      case 'http':
      case 'proxy':
        return openTcp({ port: ports[way], ...source })
      case 'https':
        return openTls({ port: ports.https, ...source, servername: name, ca: this.scene.files.ca, alpn: ['http/1.1'] })
      case 'tunnel':
        return openTls({
          port: ports.proxy,
          over: await connectThroughProxy(ports.proxy, `${name}:443`, source),
          servername: name,
          ca: this.scene.files.ca,
          alpn: ['http/1.1'],
        })
      default:
        return way satisfies never
    }
  }

  /** Writes bytes on a new connection and reads until the other side closes, or a whole final reply came. */
  async say(way: Way, bytes: string | Uint8Array, options: SayOptions = {}): Promise<Heard> {
    const socket = await this.open(way, options)
    try {
      return this.hear(await exchange(socket, bytes, { until: options.until ?? repliesOf(1), timeout: options.timeout ?? 4000 }))
    } finally {
      socket.destroy()
    }
  }

  /** Asks for a tunnel and, where one opens, sends a plain request inside: a denied tunnel opens to be refused there. */
  async sayInside(authority: string, lines = '', options: SayOptions = {}): Promise<Heard> {
    const socket = await this.open('proxy', options)
    try {
      const reading = await exchange(socket, `CONNECT ${authority} HTTP/1.1\r\n${lines}\r\n`, {
        until: (got) => got.includes('\r\n\r\n'),
        timeout: options.timeout ?? 4000,
      })
      if (!reading.bytes.toString('latin1').startsWith('HTTP/1.1 200 ')) return this.hear(reading)
      const inside = `GET / HTTP/1.1\r\nHost: ${authority}\r\n\r\n`
      return this.hear(await exchange(socket, inside, { until: repliesOf(1), timeout: options.timeout ?? 4000 }))
    } finally {
      socket.destroy()
    }
  }

  /** The same for bytes below TLS: a ClientHello made by hand, or none at all. */
  async greet(port: 'https' | 'proxy', bytes: Uint8Array, options: SayOptions = {}): Promise<Heard> {
    const socket = await openTcp({ port: this.scene.ports[port], ...(options.from && { from: options.from }) })
    try {
      return this.hear(await exchange(socket, bytes, options))
    } finally {
      socket.destroy()
    }
  }

  hear(reading: Reading): Heard {
    this.read('wire', reading.bytes)
    const replies = parseReplies(reading.bytes)
    // Chunk sizes could stand in the middle of a value.
    for (const { body, rawTrailers } of replies) this.read('body', Buffer.concat([body, Buffer.from(rawTrailers.join('\n'))]))
    const final = replies.find(({ status }) => status >= 200)
    return { ...reading, replies, status: final?.status ?? 0, code: final && codeIn(final.body) }
  }

  /** One h2 request on a new connection of the TLS door. */
  async h2(
    headers: Readonly<Record<string, string | string[]>>,
    options: SayOptions & { readonly body?: string } = {},
  ): Promise<H2Reply & { readonly code: string | undefined }> {
    const { name = 'good.test', from, body } = options
    const { ports, files } = this.scene
    const session = await openH2(
      await openTls({ port: ports.https, ...(from && { from }), servername: name, ca: files.ca, alpn: ['h2'] }),
    )
    try {
      const reply = await requestH2(session, headers, body)
      this.read('h2', Buffer.concat([Buffer.from(JSON.stringify([reply.headers, reply.trailers])), reply.body]))
      return { ...reply, code: codeIn(reply.body) }
    } finally {
      session.destroy()
    }
  }

  /**
   * Runs an attack that must reach nobody, with one audit record for each of these codes. `counts` picks the records that
   * are of this case, where others come in between: DNS writes what it counted when its window ends.
   */
  async refused<Value>(codes: Expected<Value>, attack: () => Promise<Value>, counts = everyRecord): Promise<Case<Value>> {
    const before = this.#contacts()
    const done = await this.#run(codes, attack, counts)
    expect(this.#contacts(), 'I1: nobody was asked').toEqual(before)
    return done
  }

  /** Runs what may reach an upstream; the other invariants hold all the same. */
  watched<Value>(verdicts: Expected<Value>, act: () => Promise<Value>, counts = everyRecord): Promise<Case<Value>> {
    return this.#run(verdicts, act, counts)
  }

  /** Every connection and packet that any recorder has seen, by recorder; the harness has one of its own. */
  #contacts(): Readonly<Record<string, number>> {
    const counts: Record<string, number> = { resolver: this.scene.resolver.packets.length }
    for (const [name, recorder] of Object.entries<Started>(this.scene.upstreams)) {
      if (name === 'control') continue
      const { connections, requests, wires } = recorder as Partial<{
        connections: unknown[]
        requests: unknown[]
        wires: unknown[]
      }>
      counts[name] = (connections ?? wires ?? []).length + (requests ?? []).length
    }
    return counts
  }

  async #run<Value>(
    expected: Expected<Value>,
    act: () => Promise<Value>,
    counts: (record: AuditRecord) => boolean,
  ): Promise<Case<Value>> {
    this.#sinks = []
    this.#recordsSoFar()
    const value = await act()
    const records = await this.#aliveAfterwards()
    const decided = records.filter((record) => record.event === 'exchange' && counts(record))
    expect(decided.map(({ code, verdict }) => code ?? verdict).toSorted(), 'I4: one record for each decision').toEqual(
      (typeof expected === 'function' ? expected(value) : expected).toSorted(),
    )
    const metrics = await this.ask('/metrics')
    expect(strangeLabels(metrics, this.scene), 'I5: no label comes from the wire').toEqual([])
    const log = this.scene.log.slice(this.#logRead).join('')
    this.#logRead = this.scene.log.length
    const sinks = [...this.#sinks, { name: 'log', bytes: Buffer.from(log) }, { name: 'metrics', bytes: Buffer.from(metrics) }]
    expect(
      findLeaks(this.scene.files.everSecret, [...sinks, { name: 'audit', bytes: Buffer.from(JSON.stringify(records)) }]),
      'I2: no real value',
    ).toEqual([])
    return { value, records: records.filter(counts) }
  }

  /** I3: health answers and an ordinary request is served. Its record is the last, so those before it are all there. */
  async #aliveAfterwards(): Promise<readonly AuditRecord[]> {
    const path = `/after/${(this.#cases += 1)}`
    expect(await this.ask('/livez'), 'I3: health answers').toContain('ok')
    const bytes = `GET ${path} HTTP/1.1\r\nHost: control.test\r\nAuthorization: Bearer ${stub}\r\nConnection: close\r\n\r\n`
    const { status } = await this.say('https', bytes, { name: 'control.test' })
    expect(status, 'I3: an ordinary request is served').toBe(200)
    const records: AuditRecord[] = []
    for (const end = performance.now() + 3000; performance.now() < end; await sleep(5)) {
      records.push(...this.#recordsSoFar())
      // What was counted of DNS may be written after it.
      if (records.some((record) => record.path === path)) return records.filter((record) => record.path !== path)
    }
    throw new Error('I4: the record of the ordinary request never came')
  }

  /** Records that were written since they were last read. */
  #recordsSoFar(): readonly AuditRecord[] {
    const { auditFile } = this.scene.files
    const size = existsSync(auditFile) ? statSync(auditFile).size : 0
    if (size === this.#auditRead) return []
    const bytes = Buffer.alloc(size - this.#auditRead)
    const file = openSync(auditFile, 'r')
    readSync(file, bytes, 0, bytes.length, this.#auditRead)
    closeSync(file)
    const fresh = bytes.toString('latin1', 0, bytes.lastIndexOf(10) + 1)
    this.#auditRead += fresh.length
    return fresh
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as AuditRecord)
  }

  /** A page of the metrics listener. */
  async ask(path: string): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>()
    get({ host: '127.0.0.1', port: this.scene.ports.metrics, path, agent: false }, (reply) => {
      let text = ''
      reply
        .setEncoding('utf8')
        .on('data', (part: string) => (text += part))
        .on('end', () => resolve(text))
    }).on('error', reject)
    return promise
  }

  /** How many series of ours there are. */
  async series(): Promise<number> {
    return seriesOf(await this.ask('/metrics')).length
  }

  async #openConnections(): Promise<readonly string[]> {
    return seriesOf(await this.ask('/metrics')).filter((line) => /^ironproxy_connections_active\{.*\} [1-9]/.test(line))
  }

  /** Ends everything; then no socket or watcher of the file's may be left (I6). */
  async [Symbol.asyncDispose](): Promise<void> {
    const leaks = await this.scene.canaryFoundIn()
    let open = await this.#openConnections()
    for (const end = performance.now() + 3000; performance.now() < end && open.length > 0; await sleep(20))
      open = await this.#openConnections()
    await this.scene[Symbol.asyncDispose]()
    for (const end = performance.now() + 3000; performance.now() < end && handles() > this.#handles;) await sleep(10)
    expect(leaks).toEqual([])
    expect(open, 'I6: agents that left hold no connection').toEqual([])
    expect(handles(), 'I6: nothing is left open').toBeLessThanOrEqual(this.#handles)
  }
}

/** Starts the rig: `good.test` and `echo.test` have a credential, `other.test` and `*.zone.test` none, `plain.test` is plain. */
export async function startRig<More extends Recorders = Recorders>(options: RigOptions<More> = {}): Promise<Rig<More>> {
  const before = handles()
  const usual = ['good.test', 'echo.test', 'other.test', 'a.zone.test', ...(options.hosts ?? [])] as const
  const scene = await scenario({
    policy: policyOf(options),
    secrets: ['service', ...(options.secrets ?? [])],
    upstreams: {
      main: { hosts: ['good.test', ...usual.slice(1)], start: ({ certificate }) => startUpstream({ certificate }) },
      plain: { hosts: ['plain.test'], start: ({ certificate }) => startUpstream({ certificate, plain: true }) },
      trap: { hosts: forbidden, start: ({ certificate }) => startUpstream({ certificate }) },
      control: { hosts: ['control.test'], start: ({ certificate }) => startUpstream({ certificate }) },
      ...options.upstreams,
    },
    ...(options.settings && { settings: options.settings }),
  })
  return new Rig(scene as unknown as Scenario<Common & More>, before)
}

export function policyOf({
  agents = '',
  credentials = '',
  rules = '',
  dns = '',
}: Pick<RigOptions<Recorders>, 'agents' | 'credentials' | 'rules' | 'dns'> = {}): string {
  return `version: 1
agents:
  alice: {from: [{cidr: ${alice}/32}, {cidr: 127.0.1.0/24}]}
  bob: {from: [{cidr: ${bob}/32}]}
${agents}
credentials:
  service: {kind: bearer, stub: ${stub}, secret: {file: secrets/service}, hosts: [good.test, echo.test, control.test]}
${credentials}
rules:
${rules}
  - {id: control, hosts: [control.test], credentials: [service]}
  - {id: good, hosts: [good.test, echo.test], credentials: [service]}
  - {id: other, hosts: [other.test, "*.zone.test"]}
  - {id: plain, hosts: [plain.test], plain: true}
${dns}
`
}

/** A request that must never be one. */
export const smuggled = 'GET /smuggled HTTP/1.1\r\nHost: plain.test\r\n\r\n'

/** Says the same at the plain and at the TLS door, with a request behind it that must never be one. */
export function sayEverywhere(rig: Rig, write: (host: string) => string): () => Promise<readonly Heard[]> {
  return async () => [
    await rig.say('http', write('plain.test') + smuggled, { until: () => false }),
    await rig.say('https', write('good.test') + smuggled, { until: () => false }),
  ]
}

/** The codes that were told. */
export function told(heard: readonly Heard[]): Verdict[] {
  return heard.flatMap(({ code }) => (code === undefined ? [] : [code as Verdict]))
}

export function codeIn(body: Uint8Array): string | undefined {
  try {
    return (JSON.parse(Buffer.from(body).toString()) as { error?: { code?: string } }).error?.code
  } catch {
    return undefined
  }
}

export function fieldOf({ rawHeaders }: Pick<RawReply, 'rawHeaders'>, name: string): string | undefined {
  return rawHeaders[rawHeaders.findIndex((text, i) => i % 2 === 0 && text.toLowerCase() === name) + 1 || -1]
}
