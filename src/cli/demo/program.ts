/** Runs the real programs of the demo: curl and git, as they are on this machine, and nothing of its settings. */
import { spawn } from 'node:child_process'

export interface RunOptions {
  readonly path: string
  /** The home of the program, and where it works unless `cwd` says otherwise. */
  readonly home: string
  readonly cwd?: string | undefined
  readonly input?: string | undefined
  readonly signal: AbortSignal
}

export interface ProgramRun {
  /** Exit code; -1 when a signal ended it. */
  readonly code: number
  readonly stdout: string
  readonly stderr: string
  /** What came on standard output and when, in milliseconds of `performance.now()`. */
  readonly pieces: readonly { readonly at: number; readonly text: string }[]
}

/** Milliseconds: nothing on loopback takes that long, and a demo must not hang. */
const patience = 10_000

/** Runs a program to its end. Rejects when it is not there, and on the signal. */
export async function run(
  program: string,
  args: readonly string[],
  { path, home, cwd, input, signal }: RunOptions,
): Promise<ProgramRun> {
  const child = spawn(program, args, {
    cwd: cwd ?? home,
    // A proxy variable, curlrc or gitconfig of this machine would decide where the demo goes.
    env: { PATH: path, HOME: home, LC_ALL: 'C', ...gitEnvironment },
    timeout: patience,
    signal,
  })
  const pieces: { at: number; text: string }[] = []
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => pieces.push({ at: performance.now(), text }))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  // A program that does not read its input says why in its exit code.
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  const code = await new Promise<number>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (ended) => resolve(ended ?? -1))
  })
  return { code, stdout: pieces.map(({ text }) => text).join(''), stderr, pieces }
}

/** Never asks at the keyboard, and needs no one to have set a name. */
const gitEnvironment = {
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_TERMINAL_PROMPT: '0',
  GIT_AUTHOR_NAME: 'devbot',
  GIT_AUTHOR_EMAIL: 'devbot@example.com',
  GIT_COMMITTER_NAME: 'devbot',
  GIT_COMMITTER_EMAIL: 'devbot@example.com',
}
