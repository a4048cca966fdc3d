import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Secret } from '#base/secret.ts'
import type { Pair } from '#credentials/lease.ts'
import type { GrantStore, KeptGrant } from '#contracts/grants.ts'
import { pairOf, shown, shownGrant } from './pairs.ts'

/** A store and the way to another handle on the same state, as another replica or a restarted process has it. */
export interface OpenStore {
  readonly store: GrantStore
  reopen(): Promise<GrantStore>
}

/** What every store promises, whatever it is made of. `open` gives one that holds nothing; all handles are closed here. */
export function describeGrantStore(name: string, open: () => Promise<OpenStore>): void {
  describe(`${name}, as every grant store,`, () => {
    let store: GrantStore
    let handles: GrantStore[] = []
    let reopen: () => Promise<GrantStore>
    beforeEach(async () => {
      const opened = await open()
      store = opened.store
      handles = [store]
      reopen = async () => {
        const handle = await opened.reopen()
        handles.push(handle)
        return handle
      }
    })
    afterEach(() => Promise.all(handles.map((handle) => handle.close())))

    const kept = async (handle = store): Promise<KeptGrant> => {
      const grant = await handle.read('claude')
      if (!grant) throw new Error('nothing is kept')
      return grant
    }

    describe('a login', () => {
      test('is the first generation of what was never kept', async () => {
        expect(await store.read('claude')).toBeUndefined()
        expect(await store.login('claude', pairOf(1), 5000)).toBe(1)
        expect(shownGrant(await store.read('claude'))).toEqual({
          generation: 1,
          pair: shown(pairOf(1)),
          inFlightSince: undefined,
          needsLogin: undefined,
          writtenAt: 5000,
        })
      })

      test('takes the next generation, and takes off the mark and the need for a login', async () => {
        await store.login('claude', pairOf(1), 5000)
        await store.begin('claude', 1, 5001)
        expect(await store.login('claude', pairOf(2), 5002)).toBe(2)
        expect(await kept()).toMatchObject({ generation: 2, inFlightSince: undefined, writtenAt: 5002 })
        await store.fail('claude', 2, 'invalid_grant', 5003)
        expect(await store.login('claude', pairOf(3), 5004)).toBe(3)
        expect(await kept()).toMatchObject({ generation: 3, needsLogin: undefined })
        expect(shown((await kept()).pair)).toEqual(shown(pairOf(3)))
      })

      test('in parallel with others gives each a generation of its own, and the last one is kept', async () => {
        const other = await reopen()
        const logins = Array.from({ length: 10 }, (_, index) => (index % 2 ? store : other).login('claude', pairOf(index), index))
        const generations = await Promise.all(logins)
        expect(generations.toSorted((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
        expect(shown((await kept()).pair)).toEqual(shown(pairOf(generations.indexOf(10))))
      })
    })

    describe('a refresh', () => {
      beforeEach(() => store.login('claude', pairOf(1), 5000))

      test('is marked while it runs, and leaves the next pair without the mark', async () => {
        expect(await store.begin('claude', 1, 5001)).toBe(true)
        expect(await kept()).toMatchObject({ generation: 1, inFlightSince: 5001, writtenAt: 5001 })
        expect(shown((await kept()).pair)).toEqual(shown(pairOf(1)))
        expect(await store.commit('claude', 1, pairOf(2), 5002)).toBe(true)
        expect(await kept()).toMatchObject({ generation: 2, inFlightSince: undefined, writtenAt: 5002 })
        expect(shown((await kept()).pair)).toEqual(shown(pairOf(2)))
      })

      test('of many that begin at once on two handles is begun by exactly one', async () => {
        const other = await reopen()
        const begun = await Promise.all(
          Array.from({ length: 20 }, (_, index) => (index % 2 ? store : other).begin('claude', 1, index)),
        )
        expect(begun.filter(Boolean)).toEqual([true])
        expect((await kept()).inFlightSince).toBe(begun.indexOf(true))
      })

      test('of many that end at once on two handles is kept once, and whole', async () => {
        const other = await reopen()
        const pairs = Array.from({ length: 20 }, (_, index) => pairOf(100 + index))
        const commits = await Promise.all(
          pairs.map((pair, index) => (index % 2 ? store : other).commit('claude', 1, pair, index)),
        )
        expect(commits.filter(Boolean)).toEqual([true])
        const { generation, pair } = await kept()
        expect(generation).toBe(2)
        expect(shown(pair)).toEqual(shown(pairs[commits.indexOf(true)]))
      })

      test('that was released can begin again, with the same pair', async () => {
        expect(await store.release('claude', 1)).toBe(false)
        await store.begin('claude', 1, 5001)
        expect(await store.begin('claude', 1, 5002)).toBe(false)
        expect(await store.release('claude', 1)).toBe(true)
        expect(await kept()).toMatchObject({ generation: 1, inFlightSince: undefined })
        expect(await store.begin('claude', 1, 5003)).toBe(true)
      })

      test('that was not seen to end is taken over once for each mark, and only by its mark', async () => {
        const other = await reopen()
        expect(await store.takeOver('claude', 1, 5001, 5002)).toBe(false)
        await store.begin('claude', 1, 5001)
        expect(await store.takeOver('claude', 1, 5000, 5002)).toBe(false)
        expect(await store.takeOver('claude', 2, 5001, 5002)).toBe(false)
        expect(await store.takeOver('claude', 1, 5001, 5001)).toBe(false)
        const taken = await Promise.all(
          Array.from({ length: 20 }, (_, index) => (index % 2 ? store : other).takeOver('claude', 1, 5001, 6000 + index)),
        )
        expect(taken.filter(Boolean)).toEqual([true])
        const now = 6000 + taken.indexOf(true)
        expect(await kept()).toMatchObject({ generation: 1, inFlightSince: now, writtenAt: now })
      })

      test('whose pair has been replaced meanwhile changes nothing', async () => {
        const other = await reopen()
        await other.begin('claude', 1, 5001)
        await other.commit('claude', 1, pairOf(2), 5002)
        await other.begin('claude', 2, 5003)
        const before = shownGrant(await kept(other))
        expect(await store.begin('claude', 1, 6000)).toBe(false)
        expect(await store.takeOver('claude', 1, 5003, 6000)).toBe(false)
        expect(await store.commit('claude', 1, pairOf(66), 6000)).toBe(false)
        expect(await store.release('claude', 1)).toBe(false)
        expect(await store.fail('claude', 1, 'invalid_grant', 6000)).toBe(false)
        expect(shownGrant(await kept())).toEqual(before)
      })

      test('of a generation that is still to come changes nothing', async () => {
        const before = shownGrant(await kept())
        expect(await store.begin('claude', 2, 6000)).toBe(false)
        expect(await store.commit('claude', 2, pairOf(66), 6000)).toBe(false)
        expect(await store.fail('claude', 2, 'invalid_grant', 6000)).toBe(false)
        expect(shownGrant(await kept())).toEqual(before)
      })

      test('that was not seen to end keeps its mark for whoever comes next', async () => {
        await store.begin('claude', 1, 5001)
        await store.close()
        expect(await kept(await reopen())).toMatchObject({ generation: 1, inFlightSince: 5001 })
      })
    })

    describe('a failed login', () => {
      beforeEach(() => store.login('claude', pairOf(1), 5000))

      test('says why, keeps the pair, and is told as new only once', async () => {
        const other = await reopen()
        await store.begin('claude', 1, 5001)
        expect(await store.fail('claude', 1, 'invalid_grant: reused', 5002)).toBe(true)
        expect(await other.fail('claude', 1, 'something later', 5003)).toBe(false)
        expect(await kept(other)).toMatchObject({
          generation: 1,
          inFlightSince: undefined,
          needsLogin: 'invalid_grant: reused',
          writtenAt: 5002,
        })
        expect(shown((await kept()).pair)).toEqual(shown(pairOf(1)))
      })

      test('lets nobody spend the pair again', async () => {
        await store.begin('claude', 1, 5001)
        await store.fail('claude', 1, 'invalid_grant', 5002)
        expect(await store.begin('claude', 1, 5003)).toBe(false)
        expect(await store.takeOver('claude', 1, 5001, 5003)).toBe(false)
        expect((await kept()).inFlightSince).toBeUndefined()
      })

      test('keeps a pair that comes late, and still needs a login', async () => {
        await store.begin('claude', 1, 5001)
        await store.fail('claude', 1, 'no answer', 5002)
        expect(await store.commit('claude', 1, pairOf(2), 5003)).toBe(true)
        expect(await kept()).toMatchObject({ generation: 2, needsLogin: 'no answer' })
      })
    })

    describe('a seed', () => {
      test('is a login, once for each content of it', async () => {
        expect(await store.seed('claude', pairOf(1), 'first', 5000)).toBe(1)
        expect(await store.seed('claude', pairOf(2), 'first', 5001)).toBeUndefined()
        expect(await kept()).toMatchObject({ generation: 1, writtenAt: 5000 })
        expect(shown((await kept()).pair)).toEqual(shown(pairOf(1)))
        expect(await store.seed('claude', pairOf(3), 'second', 5002)).toBe(2)
        expect(shown((await kept()).pair)).toEqual(shown(pairOf(3)))
      })

      test('is remembered whatever becomes of the grant, and by whoever comes next', async () => {
        await store.seed('claude', pairOf(1), 'first', 1)
        await store.begin('claude', 1, 2)
        await store.commit('claude', 1, pairOf(2), 3)
        await store.fail('claude', 2, 'invalid_grant', 4)
        expect(await store.seed('claude', pairOf(1), 'first', 5)).toBeUndefined()
        await store.login('claude', pairOf(3), 6)
        await store.close()
        store = await reopen()
        expect(await store.seed('claude', pairOf(1), 'first', 7)).toBeUndefined()
        expect(await kept()).toMatchObject({ generation: 3, writtenAt: 6 })
      })

      test('of another content mends a failed login and takes off the mark', async () => {
        await store.login('claude', pairOf(1), 1)
        await store.begin('claude', 1, 2)
        expect(await store.seed('claude', pairOf(2), 'first', 3)).toBe(2)
        expect(await kept()).toMatchObject({ inFlightSince: undefined })
        await store.fail('claude', 2, 'invalid_grant', 4)
        expect(await store.seed('claude', pairOf(3), 'second', 5)).toBe(3)
        expect(await kept()).toMatchObject({ needsLogin: undefined })
      })

      test('that many take at once on two handles is taken by exactly one', async () => {
        const other = await reopen()
        const taken = await Promise.all(
          Array.from({ length: 20 }, (_, index) => (index % 2 ? store : other).seed('claude', pairOf(index), 'first', index)),
        )
        expect(taken.filter((generation) => generation !== undefined)).toEqual([1])
        expect(shown((await kept()).pair)).toEqual(shown(pairOf(taken.indexOf(1))))
      })

      test('of one credential is none of another', async () => {
        await store.seed('claude', pairOf(1), 'first', 1)
        expect(await store.seed('codex', pairOf(1), 'first', 1)).toBe(1)
      })
    })

    test('writes about what was never kept make nothing', async () => {
      expect(await store.begin('claude', 0, 1)).toBe(false)
      expect(await store.takeOver('claude', 0, 1, 2)).toBe(false)
      expect(await store.commit('claude', 0, pairOf(1), 1)).toBe(false)
      expect(await store.release('claude', 0)).toBe(false)
      expect(await store.fail('claude', 0, 'reason', 1)).toBe(false)
      expect(await store.read('claude')).toBeUndefined()
    })

    test('credentials do not touch each other', async () => {
      await store.login('claude', pairOf(1), 1)
      await store.login('codex', pairOf(2), 2)
      await store.begin('codex', 1, 3)
      await store.commit('codex', 1, pairOf(3), 4)
      await store.fail('codex', 2, 'invalid_grant', 5)
      expect(await kept()).toMatchObject({ generation: 1, inFlightSince: undefined, needsLogin: undefined, writtenAt: 1 })
      expect(await store.read('Claude')).toBeUndefined()
    })

    const odd: readonly (readonly [string, Pair])[] = [
      [
        'has nothing but an access token',
        { access: new Secret('a', 'x'), refresh: undefined, expiresAt: undefined, scopes: undefined },
      ],
      ['was granted no scope at all', { ...pairOf(1), scopes: [] }],
      ['has empty halves', { ...pairOf(1), access: new Secret('a', ''), refresh: new Secret('r', '') }],
      ['is not ASCII, nor well-formed', { ...pairOf(1), access: new Secret('a', 'ключ \u{1f511} \0 " \ud800') }],
      ['is long', { ...pairOf(1), access: new Secret('a', 'long '.repeat(20_000)) }],
    ]
    test.each(odd)('a pair that %s comes back as it was', async (_case, pair) => {
      await store.login('claude', pair, 1)
      await store.close()
      expect(shown((await kept(await reopen())).pair)).toEqual(shown(pair))
    })

    test('an expiry that is no number of milliseconds is none', async () => {
      await store.login('claude', { ...pairOf(1), expiresAt: Number.POSITIVE_INFINITY }, 1)
      expect((await kept()).pair.expiresAt).toBeUndefined()
    })

    test('what it gives does not print', async () => {
      await store.login('claude', pairOf(1, 'canary'), 1)
      expect(JSON.stringify(await kept())).not.toContain('canary')
    })

    test('it can be closed twice, and after that refuses instead of forgetting', async () => {
      await store.login('claude', pairOf(1), 1)
      await store.close()
      await store.close()
      await expect(store.read('claude')).rejects.toMatchObject({ name: 'StoreError' })
      await expect(store.commit('claude', 1, pairOf(2), 2)).rejects.toMatchObject({ name: 'StoreError' })
    })

    test('any run of writes, on either of two handles, gives what the plain rules give', async () => {
      const other = await reopen()
      let runs = 0
      const step = fc.record({
        call: fc.constantFrom('begin', 'takeOver', 'commit', 'release', 'fail', 'login', 'seed'),
        generation: fc.constantFrom(0, 0, 0, 0, -1, 1),
        second: fc.boolean(),
      })
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 30 }), async (steps) => {
          runs += 1
          const id = `run-${runs}`
          let model: Model = { generation: 0, mark: undefined, failed: false, pair: 0, seed: undefined }
          for (const [now, { call, generation: off, second }] of steps.entries()) {
            const handle = second ? other : store
            const generation = model.generation + off
            const { result, next } = expected(model, call, generation, now)
            expect(await perform(handle, id, call, generation, model.mark ?? 0, now)).toBe(result)
            model = next
            const found = await handle.read(id)
            expect(found && [found.generation, found.inFlightSince, found.needsLogin !== undefined]).toEqual(
              model.generation === 0 ? undefined : [model.generation, model.mark, model.failed],
            )
            if (found) expect(shown(found.pair)).toEqual(shown(pairOf(model.pair)))
          }
        }),
        { numRuns: 30 },
      )
    })
  })
}

interface Model {
  /** 0: nothing is kept. */
  readonly generation: number
  readonly mark: number | undefined
  readonly failed: boolean
  /** Which pair is kept. */
  readonly pair: number
  readonly seed: string | undefined
}

type Call = 'begin' | 'takeOver' | 'commit' | 'release' | 'fail' | 'login' | 'seed'

/** Two contents that take turns every five steps. */
const digestAt = (now: number): string => `seed ${Math.floor(now / 5) % 2}`

/** The rules again, as plainly as they can be said. */
function expected(model: Model, call: Call, generation: number, now: number): { result: unknown; next: Model } {
  const current = model.generation > 0 && generation === model.generation
  const marked = model.mark !== undefined
  const no = { result: false, next: model }
  const fresh = { mark: undefined, failed: false, pair: now }
  switch (call) {
    case 'begin':
      return current && !marked && !model.failed ? { result: true, next: { ...model, mark: now } } : no
    case 'takeOver':
      return current && marked ? { result: true, next: { ...model, mark: now } } : no
    case 'commit':
      return current ? { result: true, next: { ...model, generation: generation + 1, mark: undefined, pair: now } } : no
    case 'release':
      return current && marked ? { result: true, next: { ...model, mark: undefined } } : no
    case 'fail':
      return current && !model.failed ? { result: true, next: { ...model, mark: undefined, failed: true } } : no
    case 'login':
      return { result: model.generation + 1, next: { ...model, ...fresh, generation: model.generation + 1 } }
    case 'seed': {
      const seed = digestAt(now)
      if (seed === model.seed) return { result: undefined, next: model }
      return { result: model.generation + 1, next: { ...model, ...fresh, generation: model.generation + 1, seed } }
    }
    default:
      return call satisfies never
  }
}

async function perform(
  store: GrantStore,
  id: string,
  call: Call,
  generation: number,
  since: number,
  now: number,
): Promise<unknown> {
  switch (call) {
    case 'begin':
      return store.begin(id, generation, now)
    case 'takeOver':
      return store.takeOver(id, generation, since, now)
    case 'commit':
      return store.commit(id, generation, pairOf(now), now)
    case 'release':
      return store.release(id, generation)
    case 'fail':
      return store.fail(id, generation, 'reason', now)
    case 'login':
      return store.login(id, pairOf(now), now)
    case 'seed':
      return store.seed(id, pairOf(now), digestAt(now), now)
    default:
      return call satisfies never
  }
}
