import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { KeptRun, KeptRuns, RunStore } from '#contracts/runs.ts'
import { ulids } from '#observe/ids.ts'
import { within } from '../kit/within.ts'

/** A store and the way to another handle on the same state, as another replica or a restarted process has it. */
export interface OpenRuns {
  readonly store: RunStore
  reopen(): Promise<RunStore>
}

const ids = ulids(() => Date.now())

/** A run as it is minted, for a minute. */
export function newRun(some: Partial<KeptRun> = {}): KeptRun {
  const startedAt = Date.now()
  return {
    id: ids.next(),
    agent: 'devbot',
    label: undefined,
    hosts: undefined,
    budget: undefined,
    stubs: { github: `stub-${randomBytes(8).toString('hex')}` },
    passwordDigest: randomBytes(32).toString('hex'),
    startedAt,
    expiresAt: startedAt + 60_000,
    ...some,
  }
}

/** Follows a store, and tells what was heard last. */
export function followed(store: RunStore) {
  let last: KeptRuns | undefined
  let told = 0
  store.follow((kept) => {
    last = kept
    told += 1
  })
  return {
    store,
    get kept() {
      return last
    },
    get told() {
      return told
    },
    ids: () => last?.runs.map(({ id }) => id).toSorted() ?? [],
    bound: () => Object.fromEntries(last?.bound ?? []),
  }
}

/** What every store of runs promises, whatever it is made of. `open` gives one that holds nothing; all handles are closed here. */
export function describeRunStore(name: string, open: () => Promise<OpenRuns>): void {
  describe(`${name}, as every store of runs,`, () => {
    let handles: RunStore[] = []
    let one: ReturnType<typeof followed>
    let reopen: () => Promise<ReturnType<typeof followed>>
    beforeEach(async () => {
      const opened = await open()
      handles = [opened.store]
      one = followed(opened.store)
      await one.store.open()
      reopen = async () => {
        const store = await opened.reopen()
        handles.push(store)
        const other = followed(store)
        await store.open()
        return other
      }
    })
    afterEach(() => Promise.all(handles.map((handle) => handle.close())))

    test('holds nothing at first, and is current', async () => {
      expect(await within(() => one.kept !== undefined)).toBeDefined()
      expect(one.kept).toEqual({ current: true, runs: [], bound: [] })
    })

    test('gives back what was put, whole, after a restart', async () => {
      const plain = newRun()
      const rich = newRun({ label: 'review "88"', hosts: ['api.test', '*.zone.test'], budget: { tokens: 5, usd: 0.25 } })
      await one.store.put(plain)
      await one.store.put(rich)
      expect(one.ids()).toEqual([plain.id, rich.id].toSorted())
      await one.store.close()
      const next = await reopen()
      expect(next.kept?.runs.toSorted((a, b) => (a.id < b.id ? -1 : 1))).toEqual(
        [plain, rich].toSorted((a, b) => (a.id < b.id ? -1 : 1)),
      )
    })

    test('tells whoever follows it elsewhere of what is put, ended and bound', async () => {
      const other = await reopen()
      const [run, kept] = [newRun(), newRun()]
      await one.store.put(run)
      await other.store.put(kept)
      const both = [run.id, kept.id].toSorted()
      expect(await within(() => [one, other].every((each) => each.ids().join() === both.join()))).toBeDefined()
      expect(await other.store.end(run)).toEqual({ mine: true, told: true })
      await one.store.bind('devbot', 'wake-1')
      expect(await within(() => [one, other].every((each) => each.ids().join() === kept.id))).toBeDefined()
      expect(await within(() => other.bound()['devbot'] === 'wake-1')).toBeDefined()
    })

    test('waits for its follower', async () => {
      const { promise, resolve } = Promise.withResolvers<void>()
      one.store.follow(() => promise)
      let done = false
      const put = one.store.put(newRun()).then(() => {
        done = true
      })
      await new Promise((go) => setTimeout(go, 100))
      expect(done).toBe(false)
      resolve()
      await put
    })

    test('lets an ended run never come back, and has it ended by one', async () => {
      const other = await reopen()
      const run = newRun()
      await one.store.put(run)
      const ends = await Promise.all(Array.from({ length: 10 }, (_, i) => (i % 2 ? one : other).store.end(run)))
      // However often the one asks, it is its own.
      const mine = [0, 1].map((half) => new Set(ends.filter((_, i) => i % 2 === half).map((end) => end.mine)))
      expect([[true], [false]]).toContainEqual([...(mine[0] ?? [])])
      expect([...(mine[1] ?? [])]).toEqual([!mine[0]?.has(true)])
      await one.store.put(run)
      expect([one.ids(), (await reopen()).ids()]).toEqual([[], []])
    })

    test('remembers an end that was told before anything else of the run', async () => {
      const run = newRun()
      expect(await one.store.end(run)).toEqual({ mine: true, told: true })
      const other = await reopen()
      await other.store.put(run)
      expect(other.ids()).toEqual([])
    })

    test('still has a run whose time is over, so that somebody writes that down', async () => {
      const run = newRun({ startedAt: Date.now() - 120_000, expiresAt: Date.now() - 60_000 })
      await one.store.put(run)
      const other = await reopen()
      expect(other.ids()).toEqual([run.id])
      expect(await other.store.end(run)).toMatchObject({ mine: true })
    })

    test('forgets what was over a day ago', async () => {
      const old = newRun({ startedAt: Date.now() - 91_000_000, expiresAt: Date.now() - 90_000_000 })
      await one.store.put(old)
      // Each write clears away what nobody needs.
      const run = newRun()
      await one.store.put(run)
      expect((await reopen()).ids()).toEqual([run.id])
    })

    test('knows the last run each agent was bound to, by whomever', async () => {
      const other = await reopen()
      for (const [i, run] of ['a', 'b', 'c', undefined, 'd'].entries()) {
        const store = (i % 2 ? one : other).store
        expect(await store.bind('devbot', run)).toBe(true)
        expect(await store.bind('opsbot', `ops-${i}`)).toBe(true)
      }
      const next = await reopen()
      expect(next.bound()).toEqual({ devbot: 'd', opsbot: 'ops-4' })
      await other.store.bind('devbot', undefined)
      expect((await reopen()).bound()).toEqual({ opsbot: 'ops-4' })
    })

    test('after its end refuses to mint, and says of nothing that it was told', async () => {
      await one.store.close()
      await one.store.close()
      await expect(one.store.put(newRun())).rejects.toMatchObject({ name: 'StoreError' })
      expect(await one.store.end(newRun())).toEqual({ mine: undefined, told: false })
      expect(await one.store.bind('devbot', 'a')).toBe(false)
    })
  })
}
