/**
 * Plays back what a Kubernetes API server once said, on a clock of the test: lists, and watches whose lines come when they
 * came, that then end, break off, or say nothing more. It answers each namespace from its own takes, one a call.
 */
import { setImmediate } from 'node:timers/promises'
import type { Clock } from '#base/clock.ts'
import { ApiError } from '#identity/api.ts'
import type { PodApi, PodList } from '#identity/api.ts'
import type { ManualClock } from './clock.ts'

export type ListTake = { readonly items: readonly unknown[]; readonly metadata: { readonly resourceVersion: string } } | Refused
/** Times are milliseconds after the call. Without an end the watch stays open and says nothing more. */
export type WatchTake =
  | { readonly events: readonly (readonly [after: number, event: unknown])[]; readonly end?: readonly [number, 'ended' | 'cut'] }
  | Refused
interface Refused {
  readonly status: number
}

/** Answers to the next lists and watches of a namespace; the last of each is played again and again. */
export interface Takes {
  readonly lists: readonly ListTake[]
  readonly watches?: readonly WatchTake[]
}

export interface Asked {
  readonly at: number
  readonly namespace: string
  readonly call: 'list' | 'watch'
  readonly version?: string
}

export interface Tape extends Pick<PodApi, 'list' | 'watch' | 'close'> {
  readonly asked: readonly Asked[]
  put(namespace: string, takes: Takes): void
}

export function playTape(clock: Clock): Tape {
  const left = new Map<string, { lists: ListTake[]; watches: WatchTake[] }>()
  const asked: Asked[] = []
  const next = <Take>(takes: Take[] | undefined): Take | undefined => (takes && takes.length > 1 ? takes.shift() : takes?.[0])
  const wait = (milliseconds: number, signal: AbortSignal): Promise<void> =>
    new Promise((resolve, reject) => {
      const cancel = clock.later(milliseconds, resolve)
      signal.addEventListener('abort', () => {
        cancel()
        reject(new ApiError(0, 'aborted'))
      })
    })
  return {
    asked,
    put: (namespace, { lists, watches = [{ events: [] }] }) =>
      void left.set(namespace, { lists: [...lists], watches: [...watches] }),
    // eslint-disable-next-line @typescript-eslint/require-await
    async list(namespace): Promise<PodList> {
      asked.push({ at: clock.elapsed(), namespace, call: 'list' })
      const take = next(left.get(namespace)?.lists) ?? { status: 0 }
      if ('status' in take) throw new ApiError(take.status, `the API answered ${take.status}`)
      return { pods: take.items, version: take.metadata.resourceVersion }
    },
    async *watch(namespace, { version }, opened, signal) {
      asked.push({ at: clock.elapsed(), namespace, call: 'watch', version })
      const take = next(left.get(namespace)?.watches) ?? { status: 0 }
      if ('status' in take) throw new ApiError(take.status, `the API answered ${take.status}`)
      opened()
      const began = clock.elapsed()
      const until = async (after: number): Promise<void> => {
        const left = began + after - clock.elapsed()
        if (left > 0) await wait(left, signal)
      }
      for (const [after, event] of take.events) {
        await until(after)
        yield event
      }
      const [after, how] = take.end ?? [2 ** 40, 'ended']
      await until(after)
      if (how === 'cut') throw new ApiError(0, 'the watch broke off: ECONNRESET')
    },
    close: () => {},
  }
}

/** Lets seconds pass, one by one, so that each thing happens at its second. */
export async function pass(clock: ManualClock, seconds: number): Promise<void> {
  for (let second = 0; second < seconds; second += 1) {
    clock.advance(1000)
    await settle()
  }
}

/** Lets what was set off run to its end. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 3; turn += 1) await setImmediate()
}
