import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, mkdir, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createShow } from '#cli/demo/show.ts'
import type { Stage } from '#cli/demo/stage.ts'
import { run, type Run } from '../kit/clients.ts'

const bin = join(import.meta.dirname, '..', '..', 'src', 'bin.js')
const path = process.env['PATH'] ?? ''
let folder: string
let whole: Awaited<ReturnType<typeof runDemo>>

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'demo-test-'))
  whole = await runDemo('whole')
}, 60_000)

afterAll(async () => {
  await rm(folder, { recursive: true, force: true })
})

/** The demo as a newcomer runs it: an empty home, and a folder for temporary files to see what is left in it. */
async function runDemo(name: string, programs = path): Promise<Run & { readonly left: readonly string[] }> {
  const temporary = await temporaryFolder(name)
  const done = await run(process.execPath, [bin, 'demo'], { env: { PATH: programs, TMPDIR: temporary } })
  return { ...done, left: await leftIn(temporary) }
}

async function temporaryFolder(name: string): Promise<string> {
  const temporary = join(folder, name)
  await mkdir(temporary)
  return temporary
}

async function leftIn(temporary: string): Promise<readonly string[]> {
  // Node keeps compiled code for the next start.
  return (await readdir(temporary)).filter((name) => name !== 'node-compile-cache')
}

/** A PATH of a folder with nothing in it but what `fill` puts there. */
async function programFolder(name: string, fill: (at: string) => Promise<void> = async () => {}): Promise<string> {
  const at = join(folder, name)
  await mkdir(at)
  await fill(at)
  return at
}

test('on a machine with an empty home all goes as said, and nothing is left behind', () => {
  const { code, stdout, stderr, left } = whole
  expect(stderr).toBe('')
  expect(stdout).not.toContain('not as said')
  expect(stdout).toMatch(/\n14 of 14 went as said, in [\d.]+ s\n/)
  expect(code).toBe(0)
  expect(left).toEqual([])
  expect(stdout.match(/^✓ [ 1]\d /gm)).toHaveLength(14)
})

test('each step shows what the agent sent, what the upstream saw and what the agent got', () => {
  const { stdout } = whole
  for (const line of [
    'agent sent     GET https://api.github.com/user   Authorization: Bearer proxy-token-github',
    /upstream saw {3}GET \/user {3}authorization: Bearer ghp-demo-\w{3}…\w{3}\n/,
    '403 host_denied: no rule lets devbot reach pypi.org',
    '403 rule_denied: agents may not delete',
    '403 stub_wrong_host: ',
    '403 real_value_seen: ',
    '403 foreign_credential: ',
    /upstream said {2}\{"authorization":"Bearer ghp-demo-\w{3}…\w{3}"\}\n +agent got {6}\{"authorization":"Bearer proxy-token-github"\}/,
    /authorization: Basic agent:ghp-demo-/,
    'README.md: cloned by an agent that holds no secret',
    /crew\/infra\.git HEAD:main\n +upstream saw {3}nothing\n/,
    '"swaps":[{"credential":"github","place":"header:authorization"}]',
    'no real value, neither plain nor in base64',
  ]) {
    if (typeof line === 'string') expect(stdout).toContain(line)
    else expect(stdout).toMatch(line)
  }
  expect(stdout, 'a real value in full').not.toMatch(/-demo-[0-9a-f]{7}/)
  expect(stdout, 'colours where nobody sees them').not.toContain('\u001B')
})

test('without curl or git it says so and ends with 69', async () => {
  const onlyCurl = await programFolder('only-curl', async (at) => symlink(await programPath('curl'), join(at, 'curl')))
  const without = await runDemo('no-git', onlyCurl)
  expect(without).toMatchObject({ code: 69, stdout: '', left: [] })
  expect(without.stderr).toContain('not found: git. Install it')
  const neither = await runDemo('no-curl', await programFolder('empty'))
  expect(neither).toMatchObject({ code: 69, left: [] })
  expect(neither.stderr).toContain('not found: curl.')
}, 60_000)

test('a git too old to be told where a name is clones by CONNECT alone, and the demo says so', async () => {
  const oldGit = await programFolder('old-git', async (at) => {
    const real = await programPath('git')
    await writeFile(join(at, 'git'), `#!/bin/sh\n[ "$1" = --version ] && echo git version 2.34.1 || exec ${real} "$@"\n`, {
      mode: 0o755,
    })
  })
  const { code, stdout } = await runDemo('old', `${oldGit}${delimiter}${path}`)
  expect(stdout).toMatch(/left out {7}DNS \+ SNI: only git 2\.37/)
  expect(stdout).not.toContain('github.com:')
  expect(code).toBe(0)
}, 60_000)

test('a curl that does something else makes it end with 1 and say what was not as said', async () => {
  const wrongCurl = await programFolder('wrong-curl', async (at) => {
    await writeFile(join(at, 'curl'), "#!/bin/sh\nprintf 'HTTP/1.1 200 OK\\r\\n\\r\\nall is well'\n", { mode: 0o755 })
  })
  const { code, stdout, left } = await runDemo('wrong', `${wrongCurl}${delimiter}${path}`)
  expect(stdout).toContain('not as said    it carries the real token')
  expect(stdout).toContain('not as said    the agent reads 403 host_denied')
  expect(stdout).toMatch(/^✓ 11 git clone/m)
  expect(stdout).toMatch(/\n\d of 14 went as said/)
  expect(code).toBe(1)
  expect(left).toEqual([])
}, 60_000)

test.each(['SIGINT', 'SIGTERM'] as const)(
  'on %s in the middle it stops and leaves nothing behind',
  async (signal) => {
    const temporary = await temporaryFolder(signal)
    const child = spawn(process.execPath, [bin, 'demo'], { env: { PATH: path, HOME: temporary, TMPDIR: temporary } })
    const stderr = text(child.stderr)
    child.stdout.setEncoding('utf8').on('data', (shown: string) => {
      if (shown.includes('✓')) child.kill(signal)
    })
    const [code] = await once(child, 'close')
    expect(await stderr).toBe('iron-proxy: stopped; nothing is left behind\n')
    expect(code).toBe(1)
    expect(await leftIn(temporary)).toEqual([])
  },
  60_000,
)

test('on a terminal stubs, real values and what was not as said have colours', async () => {
  const shown = await showOf(true)
  expect(shown).toContain('Bearer \u001B[33mproxy-token-github\u001B[39m')
  expect(shown).toContain('Bearer \u001B[35mghp-demo-123…def\u001B[39m')
  expect(shown).toContain('\u001B[31mnot as said    \u001B[39m')
})

test('no step can print a real value', async () => {
  expect(await showOf(false)).not.toContain('123456789abcdef')
})

/** What is shown of a step that tells a real value, and of which one thing was not as said. */
async function showOf(colour: boolean): Promise<string> {
  const stdout = new PassThrough()
  const show = createShow({ stdout, colour })
  const reals = { github: 'ghp-demo-123456789abcdef', claude: 'sk-ant-demo-fedcba987654321' }
  show.opening({ reals, ports: {}, upstream: {} } as Stage)
  const step = { title: 'a step', act: () => Promise.reject(new Error('not asked for')) }
  show.step(1, step, {
    rows: [['agent sent', `Bearer proxy-token-github\nBearer ${reals.github}`]],
    held: { 'this is so': true, [`it is ${reals.github}`]: false },
  })
  stdout.end()
  return text(stdout)
}

async function programPath(program: string): Promise<string> {
  return (await run('/bin/sh', ['-c', `command -v ${program}`])).stdout.trim()
}
