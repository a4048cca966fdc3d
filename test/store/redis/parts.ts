import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { RedisGrants } from '#store/redis/grants.ts'
import { Journal } from '#store/redis/journal.ts'
import { RedisLedger } from '#store/redis/ledger.ts'
import { RedisLink } from '#store/redis/link.ts'
import { RedisRuns } from '#store/redis/runs.ts'
import { parseRedisPlace } from '#store/redis/place.ts'
import type { RedisPlace } from '#store/redis/place.ts'
import { Seal } from '#store/seal.ts'

export function placeOf(url: string): RedisPlace {
  const place = parseRedisPlace(url)
  if (typeof place === 'string') throw new Error(place)
  return place
}

/** A new key for each run. */
export function newSeal(): Seal {
  return new Seal(randomBytes(32))
}

/** What several replicas on one server share; each call of `replica` is one more, or the same again by its name. */
export async function makeReplicas(url: string, prefix = `test-${randomBytes(4).toString('hex')}`) {
  const folder = await mkdtemp(join(tmpdir(), 'replicas-'))
  const seal = newSeal()
  // How far the server's clock and those of the replicas are ahead, and how much of it is time that has really passed.
  const clock = { ahead: 0, replicas: 0, passed: 0 }
  const links: RedisLink[] = []
  const link = (calm = 0): RedisLink => {
    const made = new RedisLink({ place: placeOf(url), prefix, seal, calm, ahead: () => clock.ahead })
    links.push(made)
    return made
  }
  return {
    /** Time goes on for all of them at once. */
    pass(milliseconds: number) {
      clock.ahead += milliseconds
      clock.replicas += milliseconds
      clock.passed += milliseconds
    },
    prefix,
    folder,
    seal,
    clock,
    link,
    journal: (name: string) => new Journal(join(folder, `${name}.journal`), Date.now()),
    ledger(name: string, calm = 0): RedisLedger {
      return new RedisLedger(link(calm), this.journal(name), {
        wall: () => Date.now() + clock.replicas,
        elapsed: () => performance.now() + clock.passed,
      })
    },
    grants(name: string, calm = 0): RedisGrants {
      return new RedisGrants(link(calm), this.journal(name), { seal })
    },
    runs(name: string, patience?: number): RedisRuns {
      return new RedisRuns(link(), this.journal(name), { seal, patience })
    },
    async [Symbol.asyncDispose]() {
      await rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 })
    },
  }
}
