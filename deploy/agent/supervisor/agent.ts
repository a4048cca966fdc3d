/**
 * One agent's life: started in a terminal, watched by its own exit code, started again as its policy says, ended as fast as it ends. The
 * terminal outlives the process so that one can look; whether the agent runs is never asked of the terminal.
 */
import { randomUUID } from 'node:crypto'
import { readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { AgentSpec } from './config.ts'
import { afterEnd, type Backoff } from './restart.ts'
import type { Tmux } from './tmux.ts'

export type State = 'starting' | 'running' | 'waiting' | 'stopping' | 'ended' | 'failed' | 'timed_out'

export interface AgentStatus {
  readonly name: string
  readonly running: boolean
  readonly session?: string
  readonly restarts: number
  readonly error?: string
  readonly type: AgentSpec['type']
  readonly state: State
  readonly exit_code?: number
  /** When it came into this state, ISO 8601. */
  readonly since: string
}

export interface AgentPorts {
  readonly tmux: Tmux
  /** Where the files between us and the terminal are. */
  readonly directory: string
  /** What a terminal runs; the directory and the name of the agent follow. */
  readonly wrapper: string
  readonly backoff: Backoff
  readonly log: (words: string) => void
}

/** Milliseconds between looks at the exit code. */
const glance = 100

export class SupervisedAgent {
  readonly spec: AgentSpec
  readonly #variables: Readonly<Record<string, string>>
  readonly #ports: AgentPorts
  /** Of the terminal's files: those of an earlier life of the same name say nothing about this one. */
  readonly #files: string
  readonly #halt = new AbortController()
  #status: { readonly state: State; readonly error?: string; readonly code?: number; readonly since: number }
  #restarts = 0
  #life: Promise<void> = Promise.resolve()

  constructor(spec: AgentSpec, variables: Readonly<Record<string, string>>, ports: AgentPorts) {
    this.spec = spec
    this.#variables = variables
    this.#ports = ports
    this.#files = `${spec.name}.${randomUUID().slice(0, 8)}`
    this.#status = { state: 'starting', since: Date.now() }
  }

  get status(): AgentStatus {
    const { name, session, type } = this.spec
    const { state, error, code, since } = this.#status
    return {
      name,
      running: state === 'running' || state === 'stopping',
      ...(type === 'native' && { session }),
      restarts: this.#restarts,
      ...(error !== undefined && { error }),
      type,
      state,
      ...(code !== undefined && { exit_code: code }),
      since: new Date(since).toISOString(),
    }
  }

  start(): void {
    if (this.spec.type === 'sandboxed') return this.#become('failed', { error: 'sandboxed not supported here' })
    this.#life = this.#live().catch((error: unknown) => this.#become('failed', { error: String(error) }))
  }

  /** Ends the agent, and answers as soon as it has ended, its grace period later at most. */
  async stop(): Promise<void> {
    this.#halt.abort()
    await this.#life
    await this.#ports.tmux.end(this.spec.session)
    await Promise.all(['pid', 'exit', 'env'].map((kind) => rm(this.#file(kind), { force: true })))
  }

  async #live(): Promise<void> {
    const { signal } = this.#halt
    for (let turn = 0; !signal.aborted;) {
      const began = Date.now()
      let problem: string | undefined
      const code = await this.#runOnce().catch((error: unknown) => {
        problem = `could not be started: ${error instanceof Error ? error.message.trim() : String(error)}`
        this.#ports.log(`${this.spec.name}: ${problem}`)
        // As a shell says of what it cannot run.
        return 126
      })
      if (code === 'timed out' || signal.aborted) return
      const ended = { code, lasted: Date.now() - began, restarts: this.#restarts, turn }
      const next = afterEnd(this.spec, ended, Math.random(), this.#ports.backoff)
      this.#ports.log(
        `${this.spec.name}: ended with exit code ${code}${next.kind === 'end' ? '' : `, starts again in ${Math.round(next.after / 1000)} s`}`,
      )
      if (next.kind === 'end') {
        const error = problem ?? next.error
        return this.#become(code === 0 ? 'ended' : 'failed', { code, ...(error !== undefined && { error }) })
      }
      this.#become('waiting', { code })
      turn = next.turn
      await sleep(next.after, undefined, { signal }).catch(() => {})
      if (!signal.aborted) this.#restarts += 1
    }
  }

  /** From start to end; answers the exit code. Rejects when it cannot be started. */
  async #runOnce(): Promise<number | 'timed out'> {
    const { tmux, directory, wrapper } = this.#ports
    const { session, workdir, timeout } = this.spec
    // tmux would start it in its own folder, and say nothing.
    if (!(await stat(workdir).catch(() => undefined))?.isDirectory()) throw new Error(`workdir: there is no folder ${workdir}`)
    await Promise.all(['pid', 'exit'].map((kind) => rm(this.#file(kind), { force: true })))
    await writeFile(this.#file('env'), variableLines(this.#variables), { mode: 0o600 })
    await tmux.end(session)
    await tmux.start(session, workdir, [wrapper, directory, this.#files])
    this.#become('running')
    const deadline = timeout === 0 ? Number.POSITIVE_INFINITY : Date.now() + timeout
    for (;;) {
      const code = await this.#exitCode()
      if (code !== undefined) return code
      if (this.#halt.signal.aborted) {
        this.#become('stopping')
        return this.#end()
      }
      if (Date.now() >= deadline) {
        const ended = await this.#end()
        this.#ports.log(`${this.spec.name}: its time was up`)
        this.#become('timed_out', { code: ended, error: `timeout after ${timeout / 1000} s` })
        return 'timed out'
      }
      await sleep(glance)
    }
  }

  /** Asks the process group to end, twice, and then makes it. */
  async #end(): Promise<number> {
    const end = Date.now() + this.spec.gracePeriod
    const steps: readonly (readonly [at: number, signal: NodeJS.Signals])[] = [
      [0, 'SIGINT'],
      // A terminal program may take an interrupt for a key.
      [end - this.spec.gracePeriod / 2, 'SIGTERM'],
      [end, 'SIGKILL'],
    ]
    for (let step = 0; ;) {
      const [at, signal] = steps[step] ?? [Number.POSITIVE_INFINITY, 'SIGKILL']
      if (Date.now() >= at) {
        step += 1
        await this.#signal(signal)
      }
      const code = await this.#exitCode()
      if (code !== undefined) return code
      // Nobody is left to write it down.
      if (step === steps.length && Date.now() > end + 2000) return 137
      await sleep(glance)
    }
  }

  async #signal(signal: NodeJS.Signals): Promise<void> {
    const pid = Number(await readFile(this.#file('pid'), 'utf8').catch(() => '0'))
    try {
      if (pid > 1) process.kill(-pid, signal)
    } catch {
      // It has just ended by itself.
    }
  }

  /** `undefined` while it runs. A terminal that somebody has closed took the agent with it. */
  async #exitCode(): Promise<number | undefined> {
    const text = await readFile(this.#file('exit'), 'utf8').catch(() => '')
    if (text !== '') return Number(text)
    return (await this.#ports.tmux.has(this.spec.session)) ? undefined : 129
  }

  #file(kind: string): string {
    return join(this.#ports.directory, `${this.#files}.${kind}`)
  }

  #become(state: State, more: { readonly error?: string; readonly code?: number } = {}): void {
    this.#status = { state, since: Date.now(), ...more }
  }
}

/** Lines that a shell reads back to the same values. */
function variableLines(variables: Readonly<Record<string, string>>): string {
  return Object.entries(variables)
    .map(([name, value]) => `${name}='${value.replaceAll("'", `'\\''`)}'\n`)
    .join('')
}
