import { getCompileCacheDir } from 'node:module'
import { dirname } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { Clock } from '#base/clock.ts'
import { Line } from './line.ts'
import type { DoorPorts, WorkerAssignment, MainSide, WorkerSide, WorkerState } from './protocol.ts'

export interface MemberOptions {
  /** From 1, for the log. */
  readonly index: number
  readonly errand: WorkerAssignment
  readonly clock: Clock
  readonly say: (level: 'info' | 'warn' | 'error', fields: object, message: string) => void
  /** What its thread may ask. */
  readonly side: () => MainSide
  readonly world: () => WorkerState
  /** It serves now, or no longer. */
  readonly changed: () => void
  readonly restarted: () => void
  readonly stopping: () => boolean
}

/**
 * Milliseconds: the first pause before a thread is started again, the longest, how long one must live to have done well, and how
 * much later than it should it may be done with what runs.
 */
const pauses = { first: 100, longest: 30_000, well: 60_000, late: 5_000 } as const

/** So many looks without a sign of life, and a thread hangs. Looks and not seconds: the whole process may have been stopped. */
const mostSilent = 30

/** A place among the workers, whichever thread has it: it is never empty for long. */
export class Member {
  readonly #options: MemberOptions
  #worker: Worker | undefined
  #line: Line<WorkerSide> | undefined
  #up = false
  #failures = 0
  #silent = 0
  #startedAt = 0
  #forget = (): void => {}

  constructor(options: MemberOptions) {
    this.#options = options
  }

  /** `undefined`: no thread has this place now. */
  get line(): Line<WorkerSide> | undefined {
    return this.#line
  }

  get up(): boolean {
    return this.#up
  }

  /** Throws the system's error of a door that cannot be bound. */
  async start(): Promise<DoorPorts> {
    const { changed, clock, errand, side, world } = this.#options
    const cache = getCompileCacheDir()
    // Node gives the folder of its own version inside the one that was named.
    const compileCache = cache === undefined ? undefined : dirname(cache)
    const worker = new Worker(new URL('thread.ts', import.meta.url), { workerData: { errand, compileCache } })
    const line = new Line<WorkerSide>(worker, side())
    this.#worker = worker
    this.#line = line
    this.#startedAt = clock.elapsed()
    worker.once('error', (error) => this.#tell(error))
    worker.once('exit', () => this.#left(worker, line))
    // Sent at once: whatever changes from now on is told after it.
    const ports = await line.ask('begin', world())
    this.#up = true
    this.#silent = 0
    changed()
    return ports
  }

  /** There may be room in a budget that a request of its thread waits for. */
  room(): void {
    this.#line?.tell('room')
  }

  /** Its thread gave a sign of life. */
  heard(): void {
    this.#silent = 0
  }

  /** Asked once a second. A thread that hangs is ended: the system would give it connections for ever. */
  look(): void {
    if (!this.#up) return
    this.#silent += 1
    if (this.#silent < mostSilent) return
    this.#silent = 0
    this.#options.say('error', { event: 'worker', worker: this.#options.index }, 'a worker gives no sign of life and is ended')
    void this.#worker?.terminate()
  }

  /** Lets what runs end, within so many milliseconds, and then the thread; one that hangs is not waited for. */
  async stop(deadline: number): Promise<void> {
    this.#forget()
    const { promise: late, resolve } = Promise.withResolvers<void>()
    const forget = this.#options.clock.later(deadline + pauses.late, resolve)
    await Promise.race([this.#line?.ask('stop', deadline).catch(() => {}), late])
    forget()
    await this.close()
  }

  async close(): Promise<void> {
    this.#forget()
    await this.#worker?.terminate()
  }

  #left(worker: Worker, line: Line<WorkerSide>): void {
    line.end()
    if (this.#worker !== worker) return
    const { changed, clock, index, restarted, say, stopping } = this.#options
    const wasUp = this.#up
    this.#worker = undefined
    this.#line = undefined
    this.#up = false
    changed()
    // One that never served is told of to whoever asked it to begin.
    if (stopping() || (!wasUp && this.#failures === 0)) return
    if (clock.elapsed() - this.#startedAt > pauses.well) this.#failures = 0
    const pause = Math.min(pauses.longest, pauses.first * 2 ** this.#failures)
    this.#failures += 1
    say('error', { event: 'worker', worker: index, pause }, 'a worker has ended and its connections with it; it is started again')
    this.#forget = clock.later(pause, () => {
      restarted()
      this.start().then(
        () => say('info', { event: 'worker', worker: index }, 'the worker serves again'),
        () => void this.#worker?.terminate(),
      )
    })
  }

  /** The class and the place are enough to find it; the message may hold what nobody foresaw. */
  #tell(error: unknown): void {
    const { name, stack = '' } = error instanceof Error ? error : new Error('unknown')
    const at = stack.split('\n').filter((text) => text.startsWith('    at '))
    this.#options.say(
      'error',
      { event: 'worker', worker: this.#options.index, error: name, at },
      'a worker met what nobody foresaw',
    )
  }
}
