/**
 * The rotation drill: curl, Node, Python and git ask all the time, each over new connections, while the root is replaced
 * under them. Not one of them may fail. Bundles are renewed late, as in a cluster: after the new root signs already.
 */
import { spawn } from 'node:child_process'
import { rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { curl, git, have, havePython, run } from '../kit/clients.ts'
import { throughDoor } from '../kit/doors.ts'
import { startGitServer, type GitServer } from '../kit/git.ts'
import { scenario, type Scenario } from '../kit/scenario.ts'
import { startUpstream, type Upstream } from '../kit/upstream.ts'
import { within } from '../kit/within.ts'

const policy = `
version: 1
agents: {tester: {from: [{cidr: 127.0.0.1/32}]}}
credentials: {github: {kind: bearer, stub: proxy-token-github, secret: {file: secrets/github}, hosts: [github.com]}}
rules:
  - {id: git, hosts: [github.com], git: {fetch: ["crew/*"]}, credentials: [github]}
  - {id: good, hosts: [good.test]}
`
const bin = join(import.meta.dirname, '..', '..', 'src', 'bin.js')
const cleanUp = new AsyncDisposableStack()
let scene: Scenario<{ good: Upstream; git: GitServer }>
let bundle: string

beforeAll(async () => {
  scene = cleanUp.use(
    await scenario({
      policy,
      secrets: ['github'],
      upstreams: {
        good: { hosts: ['good.test'], start: ({ certificate }) => startUpstream({ certificate }) },
        git: {
          hosts: ['github.com'],
          start: ({ certificate, secrets }) => startGitServer({ certificate, token: secrets['github'] ?? '' }),
        },
      },
    }),
  )
  await scene.upstreams.git.makeRepository('crew/tools')
  bundle = join(scene.files.folder, 'agent-bundle.crt')
  await refreshBundle()
})
afterAll(() => cleanUp.disposeAsync())

/** What an agent does to renew what it trusts. */
async function refreshBundle(): Promise<void> {
  const done = await curl(['--connect-to', `::127.0.0.1:${scene.ports.http}`, 'http://iron-proxy.internal/ca.crt'])
  await writeFile(`${bundle}.new`, done.stdout)
  await rename(`${bundle}.new`, bundle)
}

interface Loop extends Disposable {
  readonly name: string
  /** Outcomes so far, `ok` or what went wrong. */
  readonly told: readonly string[]
}

const settings = () => throughDoor('connect', { ...scene.ports, redirect: 0 }, bundle)

/** A client that is started anew for each request. */
function again(name: string, once: () => Promise<{ readonly code: number; readonly stderr: string }>): Loop {
  const told: string[] = []
  const over = new AbortController()
  void (async () => {
    while (!over.signal.aborted) {
      const { code, stderr } = await once()
      told.push(code === 0 ? 'ok' : `${name}: ${stderr}`)
    }
  })()
  return { name, told, [Symbol.dispose]: () => over.abort() }
}

/** A client that lives through it all and prints a line for each request. */
function lasting(name: string, program: string, args: readonly string[]): Loop {
  const told: string[] = []
  const env = { PATH: process.env['PATH'] ?? '', HOME: scene.files.folder, ...settings().env }
  const child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
  child.stdout.setEncoding('utf8').on('data', (text: string) => told.push(...text.split('\n').filter(Boolean)))
  child.stderr.setEncoding('utf8').on('data', (text: string) => told.push(`${name}: ${text}`))
  return { name, told, [Symbol.dispose]: () => void child.kill('SIGKILL') }
}

const url = 'https://good.test/json'
const nodeLoop = `import { Agent, request } from 'node:https'
const ask = () => new Promise((done) => {
  const agent = new Agent({ keepAlive: false, proxyEnv: process.env })
  const fail = (error) => done('node: ' + (error.code ?? error.message))
  request('${url}', { agent }, (reply) => reply.resume().on('end', () => done(reply.statusCode === 200 ? 'ok' : 'node: ' + reply.statusCode)))
    .on('error', fail).end()
})
for (;;) { console.log(await ask()); await new Promise((later) => setTimeout(later, 20)) }`
const pythonLoop = `import urllib.request, time
while True:
    try:
        print('ok' if urllib.request.urlopen('${url}').status == 200 else 'python: status', flush=True)
    except Exception as e:
        print('python:', e, flush=True)
    time.sleep(0.02)
`
const startNode = (): Loop => lasting('node', process.execPath, ['--input-type=module', '-e', nodeLoop])

/** Those that run, and those that ran. */
const loops: Loop[] = []
const ended: Loop[] = []

/** Waits until every client has asked anew, several times. */
async function allAsked(times = 3): Promise<void> {
  const before = loops.map(({ told }) => told.length)
  const done = await within(() => loops.every(({ told }, i) => told.length >= (before[i] ?? 0) + times), 30_000)
  expect(done, loops.map(({ name, told }, i) => `${name} ${told.length - (before[i] ?? 0)}`).join()).toBeDefined()
}

const failures = (): readonly string[] => [...loops, ...ended].flatMap(({ told }) => told.filter((each) => each !== 'ok'))

async function rotate(step: string): Promise<void> {
  const { caFile, caKeyFile, folder } = scene.files
  const done = await run(process.execPath, [bin, 'ca', 'rotate', `--${step}`, '--ca-cert', caFile, '--ca-key', caKeyFile], {
    cwd: folder,
  })
  expect([done.code, done.stderr]).toEqual([0, ''])
  const [wanted] = { stage: ['next'], activate: ['old'], retire: ['root'] }[step] ?? []
  const roles = async (): Promise<readonly string[]> =>
    [...(await scene.metrics()).matchAll(/ca_expiry_timestamp_seconds\{role="(\w+)"\}/g)].map(([, role = '']) => role)
  expect(
    await within(async () => (step === 'retire' ? (await roles()).length === 2 : (await roles()).includes(wanted ?? ''))),
  ).toBeDefined()
}

test.skipIf(!have('git') || !(await havePython('ssl')))(
  'stage, activate and retire cost nobody a request, and each client is believed by what it holds (needs git and Python)',
  async () => {
    const old = join(scene.files.folder, 'old.crt')
    await writeFile(old, scene.files.ca)
    const pythonPath = (
      await run('python3', ['-c', 'import sys; print(sys.executable)'], { env: { HOME: process.env['HOME'] ?? '' } })
    ).stdout.trim()
    loops.push(
      again('curl', () => curl([...settings().curl(url), '--fail', '-o', '/dev/null', url], { env: settings().env })),
      again('git', () =>
        git([...settings().git, 'ls-remote', 'https://agent:proxy-token-github@github.com/crew/tools.git'], {
          env: settings().env,
        }),
      ),
      startNode(),
      lasting('python', pythonPath, ['-c', pythonLoop]),
    )
    await allAsked()
    await rotate('stage')
    await allAsked()
    // Nobody has the new bundle yet, and a Node that runs will not read it before it is started anew.
    await rotate('activate')
    await allAsked()
    expect(await curl([...settings().curl(url), '--cacert', old, '--fail', '-o', '/dev/null', url])).toMatchObject({ code: 0 })
    await refreshBundle()
    ended.push(...loops.splice(2, 1, startNode()))
    ended[0]?.[Symbol.dispose]()
    await allAsked()
    await rotate('retire')
    await allAsked()
    for (const loop of loops) loop[Symbol.dispose]()
    expect(failures()).toEqual([])
    // The drill can fail: whoever kept the old root alone is refused now.
    expect((await curl([...settings().curl(url), '--cacert', old, url])).stderr).toMatch(/certificate/)
    const metrics = await scene.metrics()
    expect(metrics).toMatch(/ironproxy_ca_bundle_fetched_timestamp_seconds\{agent="tester",bundle="[0-9a-f]{8}"\} [1-9]/)
    expect(metrics).toMatch(/ironproxy_ca_bundle_info\{bundle="[0-9a-f]{8}"\} 1/)
  },
)
