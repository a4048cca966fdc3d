import { spawn } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** Written to standard input, which is closed otherwise. */
  readonly input?: string | Uint8Array
  /** Milliseconds until the program is killed; a minute by default. */
  readonly timeout?: number
}

export interface Run {
  /** Exit code; -1 when a signal ended it. */
  readonly code: number
  readonly stdout: string
  readonly stderr: string
  /** Standard output, byte for byte. */
  readonly bytes: Buffer
  readonly ms: number
}

/**
 * Runs a real program with an empty home and no environment but PATH and what is given: variables such as
 * GIT_SSL_CAINFO or HTTPS_PROXY of the developer's shell would decide the test. Rejects when the program is missing.
 */
export async function run(program: string, args: readonly string[], options: RunOptions = {}): Promise<Run> {
  const home = await mkdtemp(join(tmpdir(), 'home-'))
  const started = performance.now()
  try {
    const child = spawn(program, args, {
      cwd: options.cwd ?? home,
      env: { PATH: process.env['PATH'] ?? '', HOME: home, ...options.env },
      // A group of its own: git leaves the work to children, and one that hangs must go with it.
      detached: true,
    })
    const timer = setTimeout(() => endGroup(child.pid), options.timeout ?? 60_000)
    const out: Buffer[] = []
    const err: Buffer[] = []
    child.stdout.on('data', (bytes: Buffer) => out.push(bytes))
    child.stderr.on('data', (bytes: Buffer) => err.push(bytes))
    // A program that does not read its input is no fault of the test.
    child.stdin.on('error', () => {})
    child.stdin.end(options.input)
    const { promise, resolve, reject } = Promise.withResolvers<number>()
    child.on('error', reject)
    child.on('close', (code) => resolve(code ?? -1))
    const code = await promise.finally(() => clearTimeout(timer))
    const bytes = Buffer.concat(out)
    return { code, bytes, stdout: bytes.toString(), stderr: Buffer.concat(err).toString(), ms: performance.now() - started }
  } finally {
    await rm(home, { recursive: true, force: true })
  }
}

function endGroup(pid: number | undefined): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL')
  } catch {
    // It has just ended by itself.
  }
}

/** Whether a program is on the PATH: a test that needs it states this as the reason of its skip. */
export function have(program: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

/** `-q` first, so that no curlrc is read. */
export function curl(args: readonly string[], options?: RunOptions): Promise<Run> {
  return run('curl', ['-q', '--silent', '--show-error', ...args], options)
}

/**
 * Git that neither asks for a password nor reads the machine's settings. It speaks HTTP/1.1 unless told
 * `-c http.version=HTTP/2`: git 2.39 with libcurl 7.88 hung in 10 of 80 pushes of 2.5 MB over h2 to a Node
 * server without our proxy between, and in none of 40 over HTTP/1.1. It then waits for its own packer, and the last bytes of the body never come.
 */
export function git(args: readonly string[], options: RunOptions = {}): Promise<Run> {
  const env = {
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_TERMINAL_PROMPT: '0',
    GIT_CONFIG_COUNT: '1',
    GIT_CONFIG_KEY_0: 'http.version',
    GIT_CONFIG_VALUE_0: 'HTTP/1.1',
    GIT_AUTHOR_NAME: 'agent',
    GIT_AUTHOR_EMAIL: 'agent@example.com',
    GIT_COMMITTER_NAME: 'agent',
    GIT_COMMITTER_EMAIL: 'agent@example.com',
    ...options.env,
  }
  return run('git', args, { ...options, env })
}

/** The very Node the tests run on, with a module given as text. */
export function node(code: string, options: RunOptions = {}): Promise<Run> {
  return run(process.execPath, ['--input-type=module', '-'], { ...options, input: code })
}

/** A Python program given as text. */
export async function python(code: string, options: RunOptions = {}): Promise<Run> {
  return run(await pythonPath(), ['-'], { ...options, input: code })
}

/** Whether Python can import a module, `requests` for one. */
export async function havePython(module: string): Promise<boolean> {
  if (!have('python3')) return false
  return (await python(`import ${module}`)).code === 0
}

/** GitHub's own command line; ask `have('gh')` first. */
export function gh(args: readonly string[], options: RunOptions = {}): Promise<Run> {
  const env = { GH_PROMPT_DISABLED: '1', GH_NO_UPDATE_NOTIFIER: '1', NO_COLOR: '1', ...options.env }
  return run('gh', args, { ...options, env })
}

let interpreter: Promise<string> | undefined

/** A version manager's shim finds its interpreter through HOME, which our programs do not get; so ask for it once. */
function pythonPath(): Promise<string> {
  interpreter ??= run('python3', ['-c', 'import sys; print(sys.executable)'], { env: { HOME: process.env['HOME'] ?? '' } }).then(
    ({ stdout }) => stdout.trim() || 'python3',
  )
  return interpreter
}
