import type { Clock } from '#base/clock.ts'
import { ApiError, SilentWatch } from './api.ts'
import type { PodApi } from './api.ts'
import { at, readPod, text, versionOf } from './pod.ts'
import type { PodReading } from './pod.ts'
import type { PodIndex } from './pod-index.ts'

export interface WatcherOptions {
  readonly namespace: string
  readonly api: Pick<PodApi, 'list' | 'watch'>
  readonly index: Pick<PodIndex, 'put' | 'remove' | 'replace'>
  readonly clock: Clock
  /** From 0 to 1. */
  readonly random: () => number
  /** Called at each failure, with the milliseconds until the next try. */
  readonly failed: (error: ApiError, wait: number) => void
  /** Called at each word of the API: a list, an event, a bookmark. */
  readonly heard?: () => void
}

/**
 * Milliseconds. The API sends a bookmark every 60 s on a watch that has no events, so 75 s without a word is a dead watch.
 * A list takes at most 15 s (`patience` in api.ts), so knowledge of a working API is never older than 90 s.
 */
export const bounds = { silence: 75_000, knowledge: 90_000 } as const

/** Seconds after which we have the API end a watch: between once and twice this, so that replicas do not come together. */
const span = 240
/** Milliseconds before another try: twice as long after each failure, and never in step with others. */
const backOff = { first: 250, longest: 30_000 } as const
/** Milliseconds. A watch that lasted this long is no failure, however it ended. */
const lasting = 1_000

/** How far one attempt came. */
interface Attempt {
  /** Monotonic milliseconds at which the API agreed to the watch. */
  openedAt?: number
  delivered: boolean
}

/**
 * Follows the pods of one namespace: lists them, watches from the version of the list, goes on from the last version seen
 * when a watch ends, and lists again when the API has forgotten that version (410) or has been silent for too long. While
 * the API is away, the index keeps what it knows; `isCurrent` says whether that is still to be trusted.
 */
export class Watcher {
  readonly #options: WatcherOptions
  readonly #stop = new AbortController()
  readonly #ended: Promise<void>
  readonly #began: number
  #version: string | undefined
  #heardAt: number | undefined
  #lastSync: number | undefined
  #refused = false

  constructor(options: WatcherOptions) {
    this.#options = options
    this.#began = options.clock.elapsed()
    this.#ended = this.#run()
  }

  /** The pods were listed at least once. */
  get synced(): boolean {
    return this.#heardAt !== undefined
  }

  /** The API has spoken of this namespace within the bound. */
  get isCurrent(): boolean {
    return this.#heardAt !== undefined && this.#options.clock.elapsed() - this.#heardAt <= bounds.knowledge
  }

  /** Milliseconds until the knowledge is too old, if the API says nothing more. */
  get currentFor(): number {
    return Math.max(0, (this.#heardAt ?? 0) + bounds.knowledge - this.#options.clock.elapsed())
  }

  /** Waiting is of no use: the pods are known, the API refuses to list them, or it failed to for as long as the bound. */
  get isSettled(): boolean {
    return this.synced || this.#refused || this.#options.clock.elapsed() - this.#began > bounds.knowledge
  }

  /** Milliseconds since the epoch when the API last spoke with us; `undefined`: never. */
  get lastSync(): number | undefined {
    return this.#lastSync
  }

  /** Resolves when nothing of it is under way any more. */
  async close(): Promise<void> {
    this.#stop.abort()
    await this.#ended
  }

  async #run(): Promise<void> {
    let failures = 0
    for (let forgotten = 0; !this.#stop.signal.aborted;) {
      const attempt: Attempt = { delivered: false }
      const trouble = await this.#follow(attempt).catch((error: unknown) =>
        error instanceof ApiError ? error : new ApiError(0, 'what the API sent cannot be read'),
      )
      if (this.#stop.signal.aborted) return
      forgotten = trouble?.status === 410 ? forgotten + 1 : 0
      if (forgotten > 0) this.#version = undefined
      this.#refused = trouble?.status === 403
      // A first 410 is how the API says that much has happened; a silent watch has waited long enough.
      const isUrgent = forgotten === 1 || trouble instanceof SilentWatch
      failures = isUrgent || this.#wasUseful(attempt) ? 0 : failures + 1
      const wait = isUrgent ? 0 : Math.max(this.#pause(attempt, failures), trouble?.retryAfter ?? 0)
      if (trouble) this.#options.failed(trouble, wait)
      if (wait > 0) await this.#sleep(wait)
    }
  }

  /** A watch that opened and delivered is no failure, and neither is one that something on the way cut after a while. */
  #wasUseful({ openedAt, delivered }: Attempt): boolean {
    return openedAt !== undefined && (delivered || this.#options.clock.elapsed() - openedAt >= lasting)
  }

  /** Milliseconds. A watch that the API ends at once is opened again once a second: more would be a storm. */
  #pause({ openedAt = -Infinity }: Attempt, failures: number): number {
    return failures > 0 ? this.#delay(failures) : Math.max(0, openedAt + lasting - this.#options.clock.elapsed())
  }

  async #follow(attempt: Attempt): Promise<undefined> {
    const { api, namespace, index, random, clock } = this.#options
    const { signal } = this.#stop
    if (this.#version === undefined || this.#silentFor() >= bounds.silence) {
      const asked = clock.elapsed()
      const { pods, version } = await api.list(namespace, signal)
      const readings = pods.map(readPod).filter((each): each is PodReading => each !== undefined)
      index.replace(namespace, readings)
      this.#version = version
      // A list is as old as its question.
      this.#hear(asked)
    }
    const silent = new AbortController()
    const stopListening = this.#whenSilent(() => silent.abort())
    try {
      const from = { version: this.#version, seconds: Math.round(span * (1 + random())) }
      const opened = (): void => void (attempt.openedAt = clock.elapsed())
      for await (const event of api.watch(namespace, from, opened, AbortSignal.any([signal, silent.signal]))) {
        this.#take(event)
        attempt.delivered = true
        this.#hear(clock.elapsed())
      }
    } catch (error) {
      throw silent.signal.aborted ? new SilentWatch(bounds.silence / 1000) : error
    } finally {
      stopListening()
    }
    return undefined
  }

  #take(event: unknown): void {
    const object = at(event, 'object')
    const type = text(at(event, 'type'))
    switch (type) {
      case 'ADDED':
      case 'MODIFIED': {
        const reading = readPod(object)
        if (reading) this.#options.index.put(reading)
        break
      }
      case 'DELETED':
        this.#options.index.remove(text(at(at(object, 'metadata'), 'uid')))
        break
      case 'BOOKMARK':
        break
      case 'ERROR': {
        const code = at(object, 'code')
        throw new ApiError(
          typeof code === 'number' ? code : 0,
          code === 410 ? 'the version is too old' : 'the API ended the watch',
        )
      }
      default:
        throw new ApiError(0, 'the API sent an event of a kind we do not know')
    }
    this.#version = versionOf(object) ?? this.#version
  }

  #hear(at: number): void {
    this.#heardAt = at
    this.#lastSync = this.#options.clock.now()
    this.#options.heard?.()
  }

  /** Milliseconds. That a watch was opened is no word: what opens watches may deliver nothing. */
  #silentFor(): number {
    return this.#heardAt === undefined ? Infinity : this.#options.clock.elapsed() - this.#heardAt
  }

  /** Calls back when the API has said nothing for too long; the returned function calls it off. */
  #whenSilent(act: () => void): () => void {
    const look = (): (() => void) =>
      this.#options.clock.later(Math.max(1, bounds.silence - this.#silentFor()), () => {
        if (this.#silentFor() >= bounds.silence) act()
        else cancel = look()
      })
    let cancel = look()
    return () => cancel()
  }

  #delay(failures: number): number {
    const full = Math.min(backOff.longest, backOff.first * 2 ** Math.min(failures - 1, 20))
    return full * (0.5 + this.#options.random() / 2)
  }

  /** Ends early when all is to end. */
  #sleep(milliseconds: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const { signal } = this.#stop
    if (signal.aborted) return Promise.resolve()
    const cancel = this.#options.clock.later(milliseconds, resolve)
    signal.addEventListener('abort', () => resolve(), { once: true })
    return promise.finally(cancel)
  }
}
