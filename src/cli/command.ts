/**
 * cli/ is one file per command. A command gets what the process has through `Terminal` and gives back an exit code; only
 * `main.ts` touches the process itself.
 */
import type { Readable, Writable } from 'node:stream'
import type { ParseArgsConfig } from 'node:util'

/** Exit codes of sysexits.h, and 1 for "looked, and found something wrong". */
export const exit = {
  ok: 0,
  findings: 1,
  usage: 64,
  noInput: 66,
  unavailable: 69,
  software: 70,
  cantCreate: 73,
  noPermission: 77,
  config: 78,
} as const

export type ExitCode = (typeof exit)[keyof typeof exit]

/** The process, as far as a command may see it. */
export interface Terminal {
  readonly stdin: Readable
  readonly stdout: Writable
  readonly stderr: Writable
  /** Colours and anything else for eyes only. */
  readonly colour: boolean
  /** Standard output is a terminal: a person reads it. */
  readonly interactive?: boolean
  readonly env: Readonly<Record<string, string | undefined>>
  readonly node: string
  readonly uid: number | undefined
  /** The Node executable and the script to start ourselves again with. */
  readonly self: readonly [string, string]
  /** Calls back on a signal; the returned function stops that. */
  onSignal(name: 'SIGTERM' | 'SIGINT' | 'SIGHUP', act: () => void): () => void
}

export type Options = NonNullable<ParseArgsConfig['options']>

export interface Command {
  readonly name: string
  /** One line for the list of commands. */
  readonly summary: string
  /** What follows the name, as in `[options] URL`. */
  readonly usage: string
  readonly options: Options
  /** What each option means, by its name. */
  readonly help: Readonly<Record<string, string>>
  /** Most words that may follow the name; left out: none. */
  readonly words?: number
  /** The settings that its help shows; it takes them all. Left out: all of them. */
  readonly settings?: readonly string[]
  readonly examples: readonly string[]
  /** Started by another command, and no part of the help. */
  readonly hidden?: boolean
  run(input: Input, terminal: Terminal): Promise<number>
}

export interface Input {
  readonly values: Readonly<Record<string, string | boolean | undefined>>
  readonly positionals: readonly string[]
}

/** A mistake in how a command was called: told with a pointer to its help. */
export class UsageError extends Error {}

/** What ends a command that was called rightly: a file that cannot be used, a proxy that does not answer. Told in one line. */
export class CommandFailure extends Error {
  readonly exit: ExitCode

  constructor(message: string, code: ExitCode) {
    super(message)
    this.exit = code
  }
}

export function line(stream: Writable, text: string): void {
  stream.write(`${text}\n`)
}
