/** The process between the relay and the program: it has the doors of the sandbox open, and starts the program behind its wall. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { constants } from 'node:os'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { openDoors } from './doors.ts'

const file = (directory: string) => join(directory, 'command.json')

/** Leaves the command for the process inside. */
export async function leaveCommand(directory: string, command: readonly string[]): Promise<void> {
  await writeFile(file(directory), JSON.stringify(command), { mode: 0o600 })
}

/** Opens the doors and runs the command that was left; its exit code, or 128 and its signal. */
export async function runInside(directory: string): Promise<number> {
  const command = JSON.parse(await readFile(file(directory), 'utf8')) as readonly string[]
  await openDoors(directory)
  return runProgram(command)
}

export interface InsideOptions {
  /** Stops it: SIGTERM, and SIGKILL when that does not help. */
  readonly signal?: AbortSignal
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
}

/** Milliseconds between the two signals. */
const grace = 5_000

/** Runs a program on our own streams. Rejects when it is not there. */
export async function runProgram([program = '', ...args]: readonly string[], options: InsideOptions = {}): Promise<number> {
  const { signal, ...rest } = options
  const child = spawn(program, args, { stdio: 'inherit', ...rest })
  let kill: NodeJS.Timeout | undefined
  signal?.addEventListener('abort', () => {
    child.kill('SIGTERM')
    kill = setTimeout(() => child.kill('SIGKILL'), grace)
  })
  const [code, by] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null]
  clearTimeout(kill)
  return code ?? 128 + (by === null ? 0 : constants.signals[by])
}
