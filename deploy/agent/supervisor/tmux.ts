/** Sessions on a tmux server of our own, named exactly: a bare `rev` would match `rev-0` too. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const execute = promisify(execFile)

export class Tmux {
  readonly #socket: string

  constructor(socket: string) {
    this.#socket = socket
  }

  /** Starts a session that runs a command. Rejects when tmux refuses; its words are in the error. */
  async start(session: string, folder: string, command: readonly string[]): Promise<void> {
    const line = command.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ')
    await this.#run('new-session', '-d', '-s', session, '-x', '220', '-y', '50', '-c', folder, `exec ${line}`)
  }

  async has(session: string): Promise<boolean> {
    return this.#run('has-session', '-t', `=${session}`).then(
      () => true,
      () => false,
    )
  }

  /** Ends a session, if it is there. */
  async end(session: string): Promise<void> {
    await this.#run('kill-session', '-t', `=${session}`).catch(() => {})
  }

  /** Ends the server with all that is in it. */
  async endAll(): Promise<void> {
    await this.#run('kill-server').catch(() => {})
  }

  async #run(...args: readonly string[]): Promise<void> {
    await execute('tmux', ['-S', this.#socket, '-f', '/dev/null', ...args], { timeout: 10_000 })
  }
}
