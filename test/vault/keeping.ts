import { setImmediate as turn } from 'node:timers/promises'
import { indexStubs } from '#credentials/swap/stubs.ts'
import type { Credential, Grant } from '#credentials/types.ts'
import type { Snapshot } from '#contracts/snapshot.ts'
import { leaseTools } from '#vault/leases/jwt.ts'
import type { LeaseEvent } from '#vault/leases/lease-status.ts'
import type { LeasePorts } from '#vault/leases/leases.ts'
import type { Source } from '#vault/sources/source.ts'
import { LiveVault } from '#vault/vault.ts'
import { makeCanary } from '../kit/canary.ts'
import { ManualClock } from '../kit/clock.ts'
import { credential } from '../kit/credentials.ts'
import { MemoryStore } from '../kit/grant-store.ts'
import { snapshotOf } from '../kit/policy.ts'
import { Provider } from '../kit/provider.ts'
import type { ProviderOptions } from '../kit/provider.ts'

export const second = 1000
export const minute = 60 * second
export const hour = 60 * minute

/** A login that rotates, from the seed in `seed`. */
export const claude = credential('claude', {
  kind: 'oauth2',
  stubs: { access: 'access-stub', refresh: 'refresh-stub' },
  grant: { file: 'seed' },
  tokenEndpoint: 'https://login.test/token',
  clientId: 'client',
  hosts: ['api.test'],
})

/** Tokens that are minted with a secret in `client-secret`. */
export const minted = credential('minted', {
  kind: 'oauth2',
  grantType: 'client_credentials',
  stubs: { access: 'minted-stub' },
  tokenEndpoint: 'https://login.test/token',
  clientId: 'client',
  clientSecret: { file: 'client-secret' },
  hosts: ['api.test'],
})

/** A vault with all that is around it, over files that are entries of a map. */
export interface Keeping {
  readonly vault: LiveVault
  readonly clock: ManualClock
  readonly provider: Provider
  readonly store: MemoryStore
  readonly files: Map<string, string>
  readonly events: LeaseEvent[]
  grant(of?: Credential): Promise<Grant>
  /** The access token that a request would carry; the code of the error where there is none. */
  value(of?: Credential): Promise<string>
  /** Time passes in steps, and what it brings about comes to an end. */
  pass(milliseconds: number, step?: number): Promise<void>
  /** Another vault with the same store, provider and clock, as another replica or after a crash. */
  beside(ports?: Partial<LeasePorts>): Promise<Keeping>
}

export interface KeepingOptions extends ProviderOptions {
  readonly credentials?: readonly Credential[]
  /** Milliseconds the access token of the seed has left. */
  readonly seedLife?: number
  readonly ports?: Partial<LeasePorts>
  /** Done before the vault is there. */
  readonly first?: (around: Pick<Keeping, 'provider' | 'files' | 'store'>) => void
}

const bare = await snapshotOf('rules: []')

export function snapshotWith(credentials: readonly Credential[]): Snapshot {
  return { ...bare, credentials: new Map(credentials.map((each) => [each.id, each])), stubs: indexStubs(credentials) }
}

/** A crew logged in once: a seed, a provider that knows it, and a vault that has taken it in. */
export async function keeping(options: KeepingOptions = {}): Promise<Keeping> {
  const clock = new ManualClock()
  const provider = new Provider(options)
  const files = new Map([['client-secret', makeCanary()]])
  files.set('seed', seedOf(provider.login(), clock.now() + (options.seedLife ?? hour)))
  const around = { clock, provider, files, store: new MemoryStore() }
  options.first?.(around)
  return build(around, options)
}

export function seedOf(pair: { readonly access: string; readonly refresh: string }, expiresAt: number): string {
  return JSON.stringify({ access_token: pair.access, refresh_token: pair.refresh, expires_at: Math.floor(expiresAt / 1000) })
}

async function build(around: Pick<Keeping, 'clock' | 'provider' | 'files' | 'store'>, options: KeepingOptions): Promise<Keeping> {
  const { clock, provider, files, store } = around
  const { credentials = [claude, minted] } = options
  const events: LeaseEvent[] = []
  const ports: LeasePorts = {
    store,
    caller: provider,
    clock,
    tools: leaseTools,
    random: () => 0.5,
    onEvent: (event) => void events.push(event),
    abandonedAfter: 0,
    ...options.ports,
  }
  const vault = new LiveVault([sourceOf(files)], ports)
  vault.use(snapshotWith(credentials))
  await settled()
  const keeping: Keeping = {
    ...around,
    vault,
    events,
    grant: async (of = claude) => vault.grant(of),
    value: async (of = claude) => keeping.grant(of).then(({ secret }) => secret.expose(), codeOf),
    async pass(milliseconds, step = milliseconds) {
      for (let passed = 0; passed < milliseconds; passed += step) {
        clock.advance(step)
        await settled()
      }
    },
    beside: (other = {}) => build(around, { ...options, ports: { ...options.ports, ...other } }),
  }
  return keeping
}

/** Everything that waits for nothing but promises has happened. */
export async function settled(): Promise<void> {
  for (let turns = 0; turns < 6; turns += 1) await turn()
}

function sourceOf(files: ReadonlyMap<string, string>): Source {
  return {
    owns: () => true,
    read(ref) {
      const content = 'file' in ref ? files.get(ref.file) : undefined
      if (content === undefined) throw Object.assign(new Error('no such file'), { code: 'ENOENT' })
      return content
    },
    path: (ref) => ('file' in ref ? ref.file : undefined),
  }
}

function codeOf(error: unknown): string {
  return String((error as { readonly code?: unknown }).code)
}
