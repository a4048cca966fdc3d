import type { Clock } from '#base/clock.ts'
import { ApiError } from './api.ts'
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
  /** Told of each failure, with the milliseconds until the next try. */
  readonly failed: (error: ApiError, wait: number) => void
  /** All pods are known. */
  readonly synced?: () => void
}

/** Seconds after which we have the API end a watch: between once and twice this, so that replicas do not come together. */
const span = 240
/** Milliseconds before another try: twice as long after each failure, and never in step with others. */
const backOff = { first: 250, longest: 30_000 } as const

/**
 * Follows the pods of one namespace: lists them, watches from the version of the list, goes on from the last version seen
 * when a watch ends, and lists anew when the API has forgotten that (410). While the API is away, what was known stays.
 */
export class Watcher {
  readonly #options: WatcherOptions
  readonly #stop = new AbortController()
  readonly #ended: Promise<void>
  #version: string | undefined
  #synced = false
  #lastSync: number | undefined

  constructor(options: WatcherOptions) {
    this.#options = options
    this.#ended = this.#run()
  }

  /** The pods were listed at least once. */
  get synced(): boolean {
    return this.#synced
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
    for (let failures = 0; !this.#stop.signal.aborted;) {
      const began = this.#options.clock.elapsed()
      try {
        await this.#follow()
        // A watch that the API ends at once is no success: asked again at once, it would be a storm.
        failures = this.#options.clock.elapsed() - began < 1000 ? failures + 1 : 0
        if (failures > 1) await this.#sleep(this.#delay(failures))
      } catch (error) {
        if (this.#stop.signal.aborted) return
        const trouble = error instanceof ApiError ? error : new ApiError(0, 'what the API sent cannot be read')
        const forgotten = trouble.status === 410
        if (forgotten) this.#version = undefined
        failures = this.#options.clock.elapsed() - began < 60_000 ? failures + 1 : 1
        // The first time, forgotten is no failure: it is how the API says that much has happened.
        const wait = forgotten && failures === 1 ? 0 : Math.max(this.#delay(failures), trouble.retryAfter)
        this.#options.failed(trouble, wait)
        await this.#sleep(wait)
      }
    }
  }

  async #follow(): Promise<void> {
    const { api, namespace, index, random } = this.#options
    const { signal } = this.#stop
    if (this.#version === undefined) {
      const { pods, version } = await api.list(namespace, signal)
      const readings = pods.map(readPod).filter((each): each is PodReading => each !== undefined)
      index.replace(namespace, readings)
      this.#version = version
      this.#synced = true
      this.#options.synced?.()
      this.#spoke()
    }
    const seconds = Math.round(span * (1 + random()))
    for await (const event of api.watch(namespace, { version: this.#version, seconds }, () => this.#spoke(), signal)) {
      this.#spoke()
      this.#take(event)
    }
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

  #spoke(): void {
    this.#lastSync = this.#options.clock.now()
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
