/** `iron-proxy sandbox` as a user starts it: an empty home, a folder of theirs, and upstreams that record. */
import { spawn } from 'node:child_process'
import { spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { testAuthority } from './ca.ts'
import { Llm } from './llm.ts'
import { startUpstream } from './upstream.ts'
import type { Visit } from './upstream.ts'

export const bin = join(import.meta.dirname, '..', '..', 'src', 'bin.js')

/** Why no sandbox can be built here; `undefined`: it can. */
export function noSandbox(): string | undefined {
  if (process.platform !== 'linux') return 'namespaces are Linux’s'
  const tried = spawnSync('unshare', ['--user', '--map-root-user', '--net', 'true'], { encoding: 'utf8' })
  return tried.status === 0 ? undefined : `user namespaces are off: ${tried.stderr.trim() || tried.error?.message}`
}

export interface Ended {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
  readonly ms: number
}

/** The hosts of the recording upstream. */
const hosts = ['api.anthropic.com', 'api.openai.com', 'chatgpt.com', 'open.test', 'closed.test'] as const

export async function sandboxStage(key: string) {
  await using stack = new AsyncDisposableStack()
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'laptop-')))
  stack.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 }))
  const [home, work] = [join(folder, 'home'), join(folder, 'work')]
  await mkdir(home, { mode: 0o700 })
  await mkdir(work)
  const llm = new Llm()
  const handler = (visit: Visit): boolean =>
    /^\/(?:v1|backend-api\/codex)\//.test(visit.seen.target) ? llm.handle(visit) : false
  const upstream = stack.use(await startUpstream({ certificate: testAuthority().leaf(...hosts), handler }))
  const roots = join(folder, 'upstream.crt')
  await writeFile(roots, testAuthority().certPem)
  const env = {
    PATH: process.env['PATH'] ?? '',
    HOME: home,
    TMPDIR: tmpdir(),
    TERM: 'dumb',
    IRON_PROXY_UPSTREAM_HOSTS: hosts.map((host) => `${host}=127.0.0.1:${upstream.port}`).join(','),
    IRON_PROXY_UPSTREAM_CA: roots,
    IRON_PROXY_UPSTREAM_ALLOW_PRIVATE: '127.0.0.0/8',
    IRON_PROXY_UPSTREAM_RESOLVER: '127.0.0.1:9',
    IRON_PROXY_WHOAMI: 'off',
  }
  const owned = stack.move()
  return {
    folder,
    home,
    work,
    key,
    llm,
    upstream,
    /** Runs `iron-proxy sandbox` with these words in the folder of the user. */
    run: (
      words: readonly string[],
      more: { readonly input?: string; readonly env?: Record<string, string>; readonly cwd?: string } = {},
    ) => run([bin, 'sandbox', ...words], { cwd: more.cwd ?? work, env: { ...env, ...more.env }, input: more.input ?? '' }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

function run(
  args: readonly string[],
  { cwd, env, input }: { readonly cwd: string; readonly env: Record<string, string>; readonly input: string },
): Promise<Ended> {
  const began = performance.now()
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { cwd, env, timeout: 50_000 })
    const said = { stdout: '', stderr: '' }
    child.stdout.setEncoding('utf8').on('data', (text: string) => (said.stdout += text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => (said.stderr += text))
    child.on('error', reject)
    child.on('close', (code) => resolve({ code: code ?? -1, ...said, ms: performance.now() - began }))
    child.stdin.on('error', () => {})
    child.stdin.end(input)
  })
}
