/**
 * What does a whole test stand on? A scenario owns all of it: upstreams that record, a policy, secrets that are new on
 * each run, the app, and the clients' view of its doors. The files beside this one are its parts, and serve alone too.
 * Nothing in the kit asserts; it starts, does, and tells.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { App, PortName } from '#app.ts'
import type { AuditRecord } from '#contracts/audit-record.ts'
import { startTestApp, type SettingsInput } from './app.ts'
import { testAuthority } from './ca.ts'
import { findLeaks, type Leak, type Sink } from './canary.ts'
import { curl, git, node, python, type Run, type RunOptions } from './clients.ts'
import { throughDoor, type Door, type DoorSettings } from './doors.ts'
import type { Certificate, Started } from './listen.ts'
import { startRedirect } from './redirect.ts'
import { startResolver, type Resolver } from './resolver.ts'
import { makeWorkspace, type Workspace } from './workspace.ts'

export interface Given {
  /** Of a root the app trusts, for the hosts of this upstream. */
  readonly certificate: Certificate
  /** Real values by the names of their files. */
  readonly secrets: Readonly<Record<string, string>>
}

export interface UpstreamPlan<Kind extends Started> {
  /** Names that lead to it. */
  readonly hosts: readonly [string, ...string[]]
  readonly start: (given: Given) => Promise<Kind>
}

export interface ScenarioOptions<Upstreams extends Record<string, Started>> {
  /** YAML; a secret is named as `{file: secrets/NAME}`. */
  readonly policy: string
  /** Names of secret files to make; each holds a canary. */
  readonly secrets?: readonly string[]
  readonly upstreams: { readonly [Name in keyof Upstreams]: UpstreamPlan<Upstreams[Name]> }
  /** Laid over the settings a scenario makes, one group at a time. */
  readonly settings?: SettingsInput
}

export interface CurlReply extends Run {
  /** 0 when there was no reply. */
  readonly status: number
  /** As curl names it: `1.1`, `2`. */
  readonly version: string
  /** The heads of all replies, interim ones included, as they came. */
  readonly head: string
  /** Empty when the arguments sent it elsewhere. */
  readonly body: Buffer
}

export interface Scenario<Upstreams> extends AsyncDisposable {
  readonly app: App
  /** 0 for a door that is off. */
  readonly ports: Readonly<Record<PortName, number>>
  readonly files: Workspace
  readonly upstreams: Upstreams
  /** Asked for every name that no upstream has. */
  readonly resolver: Resolver
  /** Lines of the log, as they were written. */
  readonly log: readonly string[]
  /** Audit records, as they were written. */
  readonly audit: readonly AuditRecord[]
  /** Waits until a record has these values; `undefined` when none comes within `timeout` milliseconds. */
  audited(values: Partial<AuditRecord>, timeout?: number): Promise<AuditRecord | undefined>
  /** The text of `/metrics`. */
  metrics(): Promise<string>
  door(door: Door): DoorSettings
  /** `-w` is taken: its output is where status and version come from. */
  curl(door: Door, url: string, args?: readonly string[], options?: RunOptions): Promise<CurlReply>
  git(door: Door, args: readonly string[], options?: RunOptions): Promise<Run>
  node(door: Door, code: string, options?: RunOptions): Promise<Run>
  python(door: Door, code: string, options?: RunOptions): Promise<Run>
  /** Replaces the policy in one step; answers whether another snapshot was in force within `timeout` milliseconds. */
  editPolicy(yaml: string, timeout?: number): Promise<boolean>
  /** Has the scan look here too: for what a test read by itself. */
  readable(name: string, bytes: string | Uint8Array): void
  /** Every place an agent or operator can read where a real value stands, or one that was real before a rotation. */
  canaryFoundIn(): Promise<readonly Leak[]>
}

/** Starts everything; what was started is ended when a step fails, and when the scenario is disposed. */
export async function scenario<Upstreams extends Record<string, Started>>(
  options: ScenarioOptions<Upstreams>,
): Promise<Scenario<Upstreams>> {
  await using stack = new AsyncDisposableStack()
  const files = stack.use(await makeWorkspace(options.policy, options.secrets ?? []))
  const hosts: Record<string, string> = {}
  const upstreams: Record<string, Started> = {}
  for (const [name, plan] of Object.entries<UpstreamPlan<Started>>(options.upstreams)) {
    const certificate = testAuthority().leaf(...plan.hosts)
    const started = stack.use(await plan.start({ certificate, secrets: files.secrets }))
    upstreams[name] = started
    for (const host of plan.hosts) hosts[host] = `127.0.0.1:${started.port}`
  }
  const resolver = stack.use(await startResolver())
  const log: string[] = []
  const settings = settingsFor(files, hosts, resolver.port, options.settings)
  const app = await startTestApp(settings, (line) => void log.push(line))
  stack.defer(() => app.stop())
  const ports = { dns: 0, http: 0, https: 0, proxy: 0, metrics: 0, admin: 0, ...app.ports }
  const redirect = stack.use(await startRedirect({ 80: ports.http, 443: ports.https }))

  const sinks: Sink[] = []
  const readable = (name: string, bytes: string | Uint8Array): void => void sinks.push({ name, bytes: Buffer.from(bytes) })
  const metrics = async (): Promise<string> => (await fetch(`http://127.0.0.1:${ports.metrics}/metrics`)).text()
  const door = (which: Door): DoorSettings => throughDoor(which, { ...ports, redirect: redirect.port }, files.caFile)

  /** Runs a program in the environment of a door, and keeps what it said for the scan. */
  async function watched(
    which: Door,
    program: string,
    given: RunOptions,
    start: (all: RunOptions) => Promise<Run>,
  ): Promise<Run> {
    const done = await start({ ...given, env: { ...door(which).env, ...given.env } })
    readable(`${program} stdout`, done.bytes)
    readable(`${program} stderr`, done.stderr)
    return done
  }

  let replies = 0
  async function curlThrough(which: Door, url: string, args: readonly string[] = [], given: RunOptions = {}): Promise<CurlReply> {
    const file = join(files.folder, `reply-${replies++}`)
    // curl takes a second output for one of a second URL.
    const output = args.includes('-o') || args.includes('--output') ? [] : ['-o', `${file}.body`]
    const all = [...door(which).curl(url), '-D', `${file}.head`, ...output, ...args, '-w', '\\n%{http_code} %{http_version}', url]
    const done = await watched(which, 'curl', given, (full) => curl(all, full))
    const head = await readFile(`${file}.head`, 'latin1').catch(() => '')
    const body = await readFile(`${file}.body`).catch(() => Buffer.alloc(0))
    readable(`head of ${url}`, head)
    readable(`body of ${url}`, body)
    const [status = '0', version = ''] = done.stdout.slice(done.stdout.lastIndexOf('\n') + 1).split(' ')
    return { ...done, head, body, status: Number(status), version }
  }

  const owned = stack.move()
  return {
    app,
    ports,
    files,
    upstreams: upstreams as Upstreams,
    resolver,
    log,
    get audit() {
      return files.auditRecords()
    },
    audited: (values, timeout = 2000) => eventually(timeout, () => files.auditRecords().find((record) => agrees(record, values))),
    metrics,
    door,
    curl: curlThrough,
    git: (which, args, given = {}) => watched(which, 'git', given, (full) => git([...door(which).git, ...args], full)),
    node: (which, code, given = {}) => watched(which, 'node', given, (full) => node(door(which).node + code, full)),
    python: (which, code, given = {}) => watched(which, 'python', given, (full) => python(door(which).python + code, full)),
    editPolicy: async (yaml, timeout = 2000) => {
      const before = app.snapshotHash()
      await files.writePolicy(yaml)
      return (await eventually(timeout, () => app.snapshotHash() !== before || undefined)) ?? false
    },
    readable,
    canaryFoundIn: async () => {
      const own = { log: log.join(''), audit: files.audit(), metrics: await metrics() }
      return findLeaks(files.everSecret, [
        ...sinks,
        ...Object.entries(own).map(([name, text]) => ({ name, bytes: Buffer.from(text) })),
      ])
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

function settingsFor(
  files: Workspace,
  hosts: Readonly<Record<string, string>>,
  resolverPort: number,
  over: SettingsInput = {},
): SettingsInput {
  return {
    policies: files.policies,
    state: join(files.folder, 'state.db'),
    sealKey: join(files.folder, 'seal.key'),
    // Upstreams count what reaches them.
    whoami: 'off',
    ...over,
    ca: { cert: files.caFile, key: files.caKeyFile, ...over.ca },
    upstream: {
      resolver: [`127.0.0.1:${resolverPort}`],
      hosts: { ...hosts, ...over.upstream?.hosts },
      ca: [files.upstreamCaFile, ...(over.upstream?.ca ?? [])],
      allowPrivate: over.upstream?.allowPrivate ?? ['127.0.0.0/8'],
      ...(over.upstream?.resolver && { resolver: over.upstream.resolver }),
    },
    audit: { stdout: false, file: files.auditFile, ...over.audit },
    // The most talkative: what is never logged must not be logged here either.
    log: { level: 'debug', ...over.log },
  }
}

function agrees(record: AuditRecord, values: Partial<AuditRecord>): boolean {
  return Object.entries(values).every(([key, value]) => record[key as keyof AuditRecord] === value)
}

/** Asks again every few milliseconds until there is an answer or the time is up. */
async function eventually<Value>(timeout: number, ask: () => Value | undefined): Promise<Value | undefined> {
  const deadline = performance.now() + timeout
  for (;;) {
    const value = ask()
    if (value !== undefined || performance.now() > deadline) return value
    await sleep(5)
  }
}
