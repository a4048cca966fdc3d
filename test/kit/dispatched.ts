import { PassThrough, Readable } from 'node:stream'
import type { Terminal } from '#cli/command.ts'
import { dispatch } from '#cli/index.ts'

export interface Dispatched {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** One command line in this process: no second Node to wait for. Its working directory is that of the tests. */
export async function dispatched(argv: readonly string[], given: Partial<Terminal> = {}): Promise<Dispatched> {
  const said = { stdout: '', stderr: '' }
  const stream = (name: keyof typeof said) => new PassThrough().on('data', (text) => (said[name] += String(text)))
  const code = await dispatch(argv, {
    stdin: Readable.from([]),
    stdout: stream('stdout'),
    stderr: stream('stderr'),
    colour: false,
    env: {},
    node: process.version,
    uid: undefined,
    self: ['', ''],
    onSignal: () => () => {},
    ...given,
  })
  return { code, ...said }
}
