/** The process: arguments, environment, signals, exit code. Nothing else reads `process`. */
import { dispatch } from '#cli/index.ts'
import { exit } from '#cli/command.ts'

// By default Node opens a debugger on SIGUSR1, and a debugger reads every secret.
process.on('SIGUSR1', () => {})

// What nobody foresaw must not print what it holds: class, code and place are enough to find it.
process.on('uncaughtException', (error: Error) => {
  const at =
    error.stack
      ?.split('\n')
      .filter((line) => line.startsWith('    at '))
      .join('\n') ?? ''
  const { name, code = 'no code' } = error as NodeJS.ErrnoException
  process.stderr.write(`iron-proxy: ${name} (${code}): this is a bug; report it with these lines\n${at}\n`)
  process.exit(exit.software)
})

const colour = process.stdout.isTTY && !process.env['NO_COLOR']

process.exitCode = await dispatch(process.argv.slice(2), {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  colour,
  interactive: process.stdout.isTTY,
  env: process.env,
  node: process.version,
  uid: process.getuid?.(),
  self: [process.execPath, process.argv[1] ?? ''],
  onSignal(name, act) {
    process.on(name, act)
    return () => process.off(name, act)
  },
})
// Sockets that outlive their app must not keep the process.
process.exit()
