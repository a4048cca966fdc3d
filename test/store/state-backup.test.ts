import { copyFileSync, existsSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Secret } from '#base/secret.ts'
import type { Pair, TokenCall, TokenEndpoint } from '#credentials/lease.ts'
import { EmbeddedRuns } from '#store/sqlite/runs.ts'
import { EmbeddedLedger } from '#store/sqlite/ledger.ts'
import { openStore } from '#store/open.ts'
import { openSeal } from '#store/seal-key.ts'
import { backUp } from '#store/state-backup.ts'
import { restoreState } from '#store/state-restore.ts'
import { Provider } from '../kit/provider.ts'
import { pairOf, shown } from './pairs.ts'
import { followed, newRun } from './run-contract.ts'

let folder: string
let path: string
let sealKey: string
let backup: string
const uid = process.getuid?.()
const account = { budget: 'day', holder: 'devbot', window: Math.floor(Date.now() / 86_400_000) * 86_400_000 }

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'state-backup-'))
  path = join(folder, 'state.db')
  sealKey = join(folder, 'key', 'seal.key')
  backup = join(folder, 'backup.db')
})
afterEach(() => rm(folder, { recursive: true }))

const open = (told?: (odd: string) => void) => openStore({ path, sealKey, uid, told })
const restore = (over: object = {}) =>
  restoreState({ file: backup, path, sealKey, uid, trustGrants: false, now: Date.now(), ...over })
function dropState(): void {
  for (const name of readdirSync(folder)) if (name.startsWith('state.db')) rmSync(join(folder, name))
}

/** A state with a login that was rotated once, a spend of 70 and a run. */
async function fill(run = newRun()): Promise<void> {
  const store = open()
  await store.seed('claude', pairOf(1), 'digest', 1)
  await store.begin('claude', 1, 2)
  await store.commit('claude', 1, pairOf(2), 3)
  await store.close()
  const ledger = new EmbeddedLedger(`${path}-ledger`)
  await ledger.settle('a', [account], [{ tokens: 70, nano: 5 }])
  await ledger.close()
  const runs = new EmbeddedRuns({ path: `${path}-runs`, seal: () => openSeal({ path: sealKey, make: false, uid }) })
  await runs.put(run)
  await runs.close()
}

async function spent(): Promise<number | undefined> {
  const ledger = new EmbeddedLedger(`${path}-ledger`)
  const [balance] = await ledger.balances([account])
  await ledger.close()
  return balance?.spent.tokens
}

describe('a backup', () => {
  it('is one private file with all of a state, and never written over', async () => {
    await fill()
    expect(backUp(path, backup, 9)).toEqual(['grants', 'ledger', 'runs', 'spent'])
    expect(statSync(backup).mode & 0o777).toBe(0o600)
    expect(() => backUp(path, backup, 9)).toThrow('is there already')
    expect(readdirSync(folder).filter((name) => name.startsWith('backup'))).toEqual(['backup.db'])
  })

  it('has what is in the log alone, while the store is open', async () => {
    const store = open()
    await store.login('claude', pairOf(4), 1)
    backUp(path, backup, 9)
    await store.close()
    dropState()
    restore({ trustGrants: true })
    const again = open()
    expect(shown((await again.read('claude'))?.pair)).toEqual(shown(pairOf(4)))
    await again.close()
  })

  it('of nothing, of garbage and into a folder that is none are refused', async () => {
    expect(() => backUp(path, backup, 9)).toThrow(expect.objectContaining({ code: 'store_missing' }))
    writeFileSync(path, 'garbage '.repeat(2_000))
    expect(() => backUp(path, backup, 9)).toThrow(expect.objectContaining({ code: 'store_corrupt' }))
    expect(existsSync(backup)).toBe(false)
    expect(() => backUp(path, join(path, 'file'), 9)).toThrow(expect.objectContaining({ code: 'EEXIST' }))
  })
})

describe('restore', () => {
  it('on a new disk brings spend and runs back, and its grants need a login', async () => {
    const run = newRun()
    await fill(run)
    backUp(path, backup, 9)
    dropState()
    expect(restore()).toMatchObject({
      at: 9,
      grants: [{ credential: 'claude', generation: 2, needsLogin: true }],
      accounts: 1,
      runs: 1,
      aside: [],
    })
    const odd: string[] = []
    const store = open((each) => odd.push(each))
    expect((await store.read('claude'))?.needsLogin).toContain('was restored from a backup of 1970')
    expect(await store.seed('claude', pairOf(1), 'digest', 5)).toBeUndefined()
    expect(await store.login('claude', pairOf(6), 5)).toBe(3)
    expect((await store.read('claude'))?.needsLogin).toBeUndefined()
    await store.close()
    expect(odd).toEqual([])
    expect(await spent()).toBe(70)
    const runs = new EmbeddedRuns({ path: `${path}-runs`, seal: () => openSeal({ path: sealKey, make: false, uid }) })
    const seen = followed(runs)
    await runs.open()
    expect(seen.ids()).toEqual([run.id])
    await runs.close()
  })

  it('trusts the grants where the operator says so, but not one that is known to have been used since', async () => {
    await fill()
    backUp(path, backup, 9)
    expect(restore({ trustGrants: true }).grants).toEqual([{ credential: 'claude', generation: 2, needsLogin: false }])
    const store = open()
    expect((await store.read('claude'))?.needsLogin).toBeUndefined()
    await store.begin('claude', 2, 4)
    await store.commit('claude', 2, pairOf(3), 5)
    await store.close()
    expect(restore({ trustGrants: true }).grants).toEqual([{ credential: 'claude', generation: 2, needsLogin: true }])
    const again = open()
    expect((await again.read('claude'))?.needsLogin).toContain('older copy')
    await again.close()
    expect(readdirSync(folder).filter((name) => /replaced-\d$/.test(name))).toEqual([
      'state.db.replaced-1',
      'state.db.replaced-2',
    ])
  })

  it('takes the larger spend of both, whichever is larger', async () => {
    await fill()
    backUp(path, backup, 9)
    const ledger = new EmbeddedLedger(`${path}-ledger`)
    await ledger.settle('b', [account], [{ tokens: 30, nano: 0 }])
    await ledger.close()
    restore()
    expect(await spent()).toBe(100)
    const lower = new EmbeddedLedger(`${path}-ledger`)
    await lower.set(account, { tokens: 1, nano: 0 })
    await lower.close()
    restore()
    expect(await spent()).toBe(70)
  })

  it('leaves a run ended that has ended since', async () => {
    const run = newRun()
    await fill(run)
    backUp(path, backup, 9)
    const seal = () => openSeal({ path: sealKey, make: false, uid })
    const runs = new EmbeddedRuns({ path: `${path}-runs`, seal })
    await runs.open()
    await runs.end(run)
    await runs.close()
    restore()
    const again = new EmbeddedRuns({ path: `${path}-runs`, seal })
    const seen = followed(again)
    await again.open()
    expect(seen.ids()).toEqual([])
    await again.close()
  })

  it.each(['', '-ledger', '-runs'])('is refused while a process has state.db%s open, and changes nothing', async (which) => {
    const run = newRun()
    await fill(run)
    backUp(path, backup, 9)
    const seal = () => openSeal({ path: sealKey, make: false, uid })
    const store =
      which === ''
        ? open()
        : which === '-ledger'
          ? new EmbeddedLedger(`${path}-ledger`)
          : new EmbeddedRuns({ path: `${path}-runs`, seal })
    if (store instanceof EmbeddedLedger || store instanceof EmbeddedRuns) await store.open()
    expect(() => restore()).toThrow(expect.objectContaining({ code: 'store_in_use' }))
    await store.close()
    expect(restore().aside).toEqual([`${path}.replaced-1`])
  })

  it.each(['state.db', 'state.db-ledger', 'state.db-runs'])('puts a garbage %s aside', async (name) => {
    await fill()
    backUp(path, backup, 9)
    for (const part of ['-wal', '-shm']) rmSync(join(folder, name + part), { force: true })
    writeFileSync(join(folder, name), 'garbage '.repeat(2_000))
    expect(restore().aside).toContain(`${join(folder, name)}.${name === 'state.db' ? 'replaced' : 'unusable'}-1`)
    expect(await spent()).toBe(70)
  })

  it('refuses what is no backup, what is cut, and what another key has sealed', async () => {
    await fill()
    backUp(path, backup, 9)
    expect(() => restore({ file: path })).toThrow(expect.objectContaining({ code: 'store_corrupt' }))
    expect(() => restore({ file: `${path}.none` })).toThrow(expect.objectContaining({ code: 'store_missing' }))
    rmSync(sealKey)
    expect(() => restore()).toThrow(expect.objectContaining({ code: 'seal_key_missing' }))
    openSeal({ path: sealKey, make: true, uid })
    expect(() => restore()).toThrow(expect.objectContaining({ code: 'seal_key_wrong' }))
    expect(readdirSync(folder).filter((each) => /restored|replaced|unusable/.test(each))).toEqual([])
  })
})

describe('a database that was copied where it is', () => {
  it('with all that was beside it needs a login, and one that was left alone does not', async () => {
    await fill()
    const kept = join(folder, 'kept')
    mkdirSync(kept)
    const names = readdirSync(folder).filter((name) => name.startsWith('state.db'))
    for (const name of names) copyFileSync(join(folder, name), join(kept, name))
    const odd: string[] = []
    const store = open((each) => odd.push(each))
    expect((await store.read('claude'))?.needsLogin).toBeUndefined()
    await store.close()
    expect(odd).toEqual([])
    dropState()
    for (const name of names) copyFileSync(join(kept, name), join(folder, name))
    const again = open((each) => odd.push(each))
    expect((await again.read('claude'))?.needsLogin).toContain('is a copy')
    await again.close()
    expect(odd).toEqual([expect.stringContaining('is a copy')])
  })

  it('is named where it is another than the one last used', async () => {
    await fill()
    for (const part of ['', '-wal', '-shm']) rmSync(path + part, { force: true })
    const odd: string[] = []
    await open((each) => odd.push(each)).close()
    expect(odd).toEqual([expect.stringMatching(/is database \S+, and \S+ was used last/)])
    await open((each) => odd.push(each)).close()
    expect(odd).toHaveLength(1)
  })
})

const endpoint = { url: 'https://tokens.test/token' } as unknown as TokenEndpoint

/** What the provider gives for the refresh token of this pair: it ends the login where that was spent. */
async function refreshed(provider: Provider, pair: Pair | undefined): Promise<Pair> {
  const parameters = new URLSearchParams({ grant_type: 'refresh_token', refresh_token: pair?.refresh?.expose() ?? '' })
  const call = { body: new Secret('body', String(parameters)) } as TokenCall
  const { body } = await provider.call('claude', endpoint, call)
  const { access_token: access, refresh_token: refresh } = JSON.parse(body.expose()) as Readonly<Record<string, string>>
  return pairWith({ access, refresh })
}

function pairWith({
  access = '',
  refresh = '',
}: {
  readonly access?: string | undefined
  readonly refresh?: string | undefined
}): Pair {
  return { ...pairOf(1), access: new Secret('access', access), refresh: new Secret('refresh', refresh) }
}

it('20 backups under load, each restored: no family is revoked, and spend is never lower', { timeout: 120_000 }, async () => {
  const provider = new Provider()
  const login = provider.login()
  const store = open()
  const ledger = new EmbeddedLedger(`${path}-ledger`)
  let generation = await store.login('claude', pairWith(login), 1)
  const backups: { readonly file: string; readonly charged: number }[] = []
  let charged = 0
  const settle = async () => {
    const before = charged
    await ledger.settle(`charge ${before}`, [account], [{ tokens: 10, nano: 0 }])
    charged += 10
  }
  for (let round = 0; round < 20; round += 1) {
    const running = settle()
    const kept = await store.read('claude')
    await store.begin('claude', generation, Date.now())
    const file = join(folder, `backup-${round}`)
    // At each moment of a refresh: before the call, after it, and once its answer is kept.
    if (round % 3 === 0) backups.push({ file, charged: (backUp(path, file, Date.now()), charged) })
    const next = await refreshed(provider, kept?.pair)
    if (round % 3 === 1) backups.push({ file, charged: (backUp(path, file, Date.now()), charged) })
    await store.commit('claude', generation, next, Date.now())
    generation += 1
    if (round % 3 === 2) backups.push({ file, charged: (backUp(path, file, Date.now()), charged) })
    await running
  }
  await store.close()
  await ledger.close()
  let lower = 0
  let shown = 0
  for (const [round, { file, charged: least }] of backups.entries()) {
    // A new disk, or the one where it ran.
    const to = round % 2 === 0 ? join(folder, `disk-${round}.db`) : path
    restore({ file, path: to, trustGrants: to === path })
    const again = openStore({ path: to, sealKey, uid })
    const kept = await again.read('claude')
    await again.close()
    if (kept?.needsLogin === undefined) {
      shown += 1
      await refreshed(provider, kept?.pair)
    }
    const there = new EmbeddedLedger(`${to}-ledger`)
    const [balance] = await there.balances([account])
    await there.close()
    if ((balance?.spent.tokens ?? 0) < (to === path ? charged : least)) lower += 1
  }
  const revoked = provider.alive ? 0 : 1
  process.stdout.write(
    `${backups.length} backups under load, ${shown} of them with the newest pair: ${revoked} families revoked, spend lower ${lower} times\n`,
  )
  expect([backups.length, revoked, lower]).toEqual([20, 0, 0])
})
