import { existsSync, readFileSync } from 'node:fs'
import { Secret } from '#base/secret.ts'
import type { GrantStore } from '#contracts/grants.ts'
import type { RunStore } from '#contracts/runs.ts'
import type { Balance, Ledger } from '#metering/types.ts'
import { EmbeddedRuns } from './sqlite/runs.ts'
import { LazyStore } from './lazy.ts'
import { EmbeddedLedger } from './sqlite/ledger.ts'
import { openStore } from './open.ts'
import { RedisGrants } from './redis/grants.ts'
import { Journal } from './redis/journal.ts'
import { RedisLedger } from './redis/ledger.ts'
import { RedisLink } from './redis/link.ts'
import type { LinkOptions } from './redis/link.ts'
import { RedisRuns } from './redis/runs.ts'
import { isRedisPlace, parseRedisPlace } from './redis/place.ts'
import { openSeal, putBackSeal } from './seal-key.ts'
import type { Seal } from './seal.ts'
import { Spent } from './spent.ts'
import { ledgerBeside, runsBeside, setAside, spentBeside } from './state-files.ts'
import { StoreError } from './store-error.ts'

/** Where the state is, as the settings say it. */
export interface StatePlace {
  /** A file, or a server's URL. */
  readonly state: string
  readonly sealKey: string
  readonly redis: {
    readonly password?: string | undefined
    readonly sentinelPassword?: string | undefined
    readonly ca?: string | undefined
    readonly prefix: string
    readonly journal: string
  }
}

export interface State {
  readonly grants: GrantStore
  readonly ledger: Ledger
  readonly runs: RunStore
  /** The time that budgets go by. */
  readonly clock: BudgetClock
  /** Why the file of the grants cannot be used; `undefined`: it can, or the state is on a server, whose outage is no fault of this replica. */
  fault(): string | undefined
  /** See `RotationOptions`. */
  readonly marks: { readonly abandonedAfter: number; readonly marksByOurClock: boolean }
  /** Of a server: whether it can be asked, and how many charges wait to be told; `undefined`: the state is a file. */
  readonly shared: (() => SharedState) | undefined
}

export interface BudgetClock {
  /** Milliseconds that it is ahead of the wall clock; negative: behind. */
  ahead(): number
  /** Takes the wall clock for right, and what was spent in windows that have not begun for nothing. Gives their balances. Throws StoreError. */
  putRight(): Promise<readonly Balance[]>
}

export interface SharedState {
  readonly up: boolean
  readonly owed: number
  /** Milliseconds that this machine's clock is ahead of the server's; negative: behind; `undefined`: never compared. */
  readonly skew: number | undefined
}

interface StateOptions {
  readonly uid: number | undefined
  /** Told when the ledger's file or the server can be used, and when it cannot and why. */
  readonly log: Readonly<Record<'info' | 'warn', (fields: object, message: string) => void>>
}

/**
 * The grants, the ledger and the runs, in a file for one replica or on a server for several. Connects in the background: a server that is
 * away is no reason not to start. Throws StoreError for what no waiting mends: no seal key, no journal, settings that make no sense.
 */
export function openState(place: StatePlace, options: StateOptions): State {
  return isRedisPlace(place.state) ? openShared(place, options) : openEmbedded(place, options)
}

function openEmbedded({ state, sealKey }: StatePlace, { uid, log }: StateOptions): State {
  const told = (event: 'ledger' | 'runs') => (fault: StoreError | undefined) =>
    fault
      ? log.warn({ event, code: fault.code }, fault.message)
      : log.info({ event }, `the file of the ${event} can be used again`)
  const remade = (what: string) => log.warn({ event: 'state' }, what)
  const ledger = new EmbeddedLedger(ledgerBeside(state), Date.now, told('ledger'), undefined, remade)
  const grants = new LazyStore(() => openStore({ path: state, sealKey, uid, told: remade }), {
    setAside(fault) {
      const place = setAside(state)
      log.warn({ event: 'state', code: fault.code }, `${fault.message}; it is now ${place}, and a new one begins with this login`)
    },
    isUnspent(credential, digest) {
      const spent = new Spent(spentBeside(state))
      // Only where the rotations of this grant were noted was the spending of its seed noted too.
      return spent.newest(credential) > 0 && !spent.hasSeed(digest)
    },
  })
  return {
    grants,
    fault: () => grants.fault,
    ledger,
    clock: ledger,
    runs: new EmbeddedRuns({
      path: runsBeside(state),
      seal: () => openSeal({ path: sealKey, make: !existsSync(state) && !existsSync(runsBeside(state)), uid }),
      told: told('runs'),
      remade,
      keepSeal: (seal) => putBackSeal(sealKey, seal),
    }),
    // Longer than a token call may take: another process that has the store open may be making one just now.
    marks: { abandonedAfter: 40_000, marksByOurClock: true },
    shared: undefined,
  }
}

function openShared(place: StatePlace, { uid, log }: StateOptions): State {
  const seal = sharedSeal(place.sealKey, uid)
  const journal = new Journal(place.redis.journal, Date.now(), (path) =>
    log.warn({ event: 'state' }, `${path}: was deleted or replaced while the proxy ran; it is made again from memory`),
  )
  if (journal.skipped > 0)
    log.warn(
      { event: 'state', lines: journal.skipped },
      `${place.redis.journal}: ${journal.skipped} lines were cut off by a full disk or a crash and are left out; all others count`,
    )
  const link = linkTo(place, seal, (up, why) => log[up ? 'info' : 'warn']({ event: 'state' }, why))
  const ledger = new RedisLedger(link, journal)
  return {
    grants: new RedisGrants(link, journal, { seal }),
    ledger,
    clock: ledger,
    fault: () => undefined,
    runs: new RedisRuns(link, journal, { seal }),
    // A replica that was stopped for a minute in the middle of a call still has the only copy of what came back.
    marks: { abandonedAfter: 120_000, marksByOurClock: false },
    shared: () => ({ up: link.up, owed: journal.owed.size, skew: link.skew }),
  }
}

/** The seal of a state that is shared: never made here, as every replica needs the same. Throws StoreError. */
export function sharedSeal(sealKey: string, uid: number | undefined): Seal {
  if (existsSync(sealKey)) return openSeal({ path: sealKey, make: false, uid })
  throw new StoreError(
    'seal_key_missing',
    `${sealKey}: is not there; make it once, \`openssl rand -base64 32\`, mode 0600, and give every replica the same`,
  )
}

/** Begins to connect. Throws StoreError for a place that is none, and the system's error for files that cannot be read. */
export function linkTo({ state, redis }: StatePlace, seal: Seal, onChange?: LinkOptions['onChange']): RedisLink {
  const place = parseRedisPlace(state)
  if (typeof place === 'string') throw new StoreError('store_io', `state: ${place}`)
  const password = secretIn('redis password', redis.password)
  const sentinelPassword = secretIn('sentinel password', redis.sentinelPassword)
  // A file that cannot be read is told at start; later, the server has the say.
  password?.()
  sentinelPassword?.()
  const ca = redis.ca === undefined ? undefined : readFileSync(redis.ca, 'utf8')
  return new RedisLink({ place, password, sentinelPassword, ca, prefix: redis.prefix, seal, onChange })
}

function secretIn(name: string, file: string | undefined): (() => Secret) | undefined {
  return file === undefined ? undefined : () => new Secret(name, readFileSync(file, 'utf8').trim())
}
