import { runInside } from '#sandbox/inside.ts'
import { UsageError } from '../command.ts'
import type { Command } from '../command.ts'

/** Started by `sandbox` in the namespaces of its doors. */
export const sandboxInside: Command = {
  name: 'sandbox-inside',
  summary: 'the doors of a sandbox, from within',
  usage: 'DIRECTORY',
  options: {},
  help: {},
  words: 1,
  hidden: true,
  examples: [],
  async run({ positionals: [directory] }, terminal) {
    if (directory === undefined) throw new UsageError('name the directory of the sandbox')
    // Ctrl-C reaches the program too, which says what becomes of it.
    terminal.onSignal('SIGINT', () => {})
    return runInside(directory)
  },
}
