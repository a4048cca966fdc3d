/** What the steps stand on: the proxy, the servers behind it, the agent before it, and the files of all in one folder. */
import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startApp } from '#app.ts'
import type { PortName } from '#app.ts'
import type { Address } from '#base/address.ts'
import { settingsSchema } from '#config/settings-schema.ts'
import type { Settings } from '#config/settings-schema.ts'
import { createLog } from '#observe/log.ts'
import { revision, version } from '../about.ts'
import type { Terminal } from '../command.ts'
import { DemoAgent } from './agent.ts'
import { hosts, policy } from './policy.ts'
import { run } from './program.ts'
import type { RunOptions } from './program.ts'
import type { Tools } from './tools.ts'
import { startUpstream } from './upstream.ts'
import type { Reals, DemoUpstream } from './upstream.ts'

export interface Stage extends AsyncDisposable {
  readonly agent: DemoAgent
  readonly upstream: DemoUpstream
  readonly ports: Readonly<Record<PortName, number>>
  readonly reals: Reals
  readonly tools: Tools
  readonly signal: AbortSignal
  /** Puts a new policy in the place of the old in one step, as an editor does. */
  readonly writePolicy: (text: string) => Promise<void>
  /** Everything an operator can read, by name. */
  readonly operatorReads: () => Promise<Readonly<Record<string, string>>>
}

/** A folder for everything the demo writes; gone again when disposed. */
export async function makeFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'iron-proxy-demo-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 }) }
}

/** Starts everything; what was started is ended when a part fails, and when the stage is disposed. */
export async function setStage(folder: string, tools: Tools, terminal: Terminal, options: RunOptions): Promise<Stage> {
  await using stack = new AsyncDisposableStack()
  const path = (...names: string[]): string => join(folder, ...names)
  const reals = {
    github: `ghp-demo-${randomBytes(16).toString('hex')}`,
    claude: `sk-ant-demo-${randomBytes(16).toString('hex')}`,
  }

  await mkdir(path('policies', 'secrets'), { recursive: true })
  await writeFile(path('policies', 'secrets', 'github'), reals.github, { mode: 0o600 })
  await writeFile(path('policies', 'secrets', 'claude'), reals.claude, { mode: 0o600 })
  await writeFile(path('policies', 'policy.yaml'), policy)
  for (const name of ['app', 'infra']) await makeRepository(path('repositories', 'crew', `${name}.git`), options)

  const upstream = stack.use(
    await startUpstream(reals, { backend: tools.gitBackend, root: path('repositories'), path: options.path }),
  )
  await writeFile(path('upstream.crt'), upstream.rootPem)

  const log: string[] = []
  const app = await startApp(settingsOf(folder, upstream.port), {
    log: createLog('info', { write: (text) => void log.push(text) }),
    version,
    revision,
    node: terminal.node,
    env: {},
    stdout: terminal.stdout,
    uid: terminal.uid,
  })
  stack.defer(() => app.stop())
  const ports = { dns: 0, http: 0, https: 0, proxy: 0, metrics: 0, admin: 0, ...app.ports }
  const owned = stack.move()
  return {
    agent: new DemoAgent({ https: ports.https, proxy: ports.proxy, caFile: path('ca.crt') }, options),
    upstream,
    ports,
    reals,
    tools,
    signal: options.signal,
    writePolicy: async (text) => {
      await writeFile(path('policy.new'), text)
      await rename(path('policy.new'), path('policies', 'policy.yaml'))
    },
    operatorReads: async () => ({
      audit: await readFile(path('audit.jsonl'), 'utf8').catch(() => ''),
      log: log.join(''),
      metrics: (await run('curl', ['-q', '--silent', `http://127.0.0.1:${ports.metrics}/metrics`], options)).stdout,
    }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

/** Settings as a file would have them, but for the ports: any free one, which a file cannot ask for. */
function settingsOf(folder: string, upstreamPort: number): Settings {
  const settings = settingsSchema.parse({
    policies: join(folder, 'policies'),
    ca: { cert: join(folder, 'ca.crt'), key: join(folder, 'ca.key') },
    state: join(folder, 'state.db'),
    sealKey: join(folder, 'seal.key'),
    // What the upstream shows as seen is the agent's alone.
    whoami: 'off',
    upstream: {
      hosts: Object.fromEntries(hosts.map((host) => [host, `127.0.0.1:${upstreamPort}`])),
      ca: [join(folder, 'upstream.crt')],
      allowPrivate: ['127.0.0.0/8'],
      // Nobody answers there: whatever goes wrong, no question leaves this machine.
      resolver: ['127.0.0.1:9'],
    },
    audit: { stdout: false, file: join(folder, 'audit.jsonl') },
  })
  const free = { address: '127.0.0.1' as Address, port: 0 }
  return { ...settings, listen: { dns: free, http: free, https: free, proxy: free, metrics: free, admin: 'off' } }
}

/** A bare repository whose branch `main` has one commit; the stream is that of git-fast-import(1). */
async function makeRepository(folder: string, options: RunOptions): Promise<void> {
  const text = 'cloned by an agent that holds no secret\n'
  const commit = `commit refs/heads/main\ncommitter crew <crew@example.com> 1700000000 +0000\ndata 5\nfirst\nM 100644 inline README.md\ndata ${text.length}\n${text}`
  await run('git', ['init', '--quiet', '--bare', folder], options)
  await run('git', ['fast-import', '--quiet'], { ...options, cwd: folder, input: commit })
  await run('git', ['symbolic-ref', 'HEAD', 'refs/heads/main'], { ...options, cwd: folder })
}
