import { randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { EmbeddedRuns, readRuns } from '#store/sqlite/runs.ts'
import { Seal } from '#store/seal.ts'
import { within } from '../../kit/within.ts'
import { describeRunStore, followed, newRun } from '../run-contract.ts'

const seal = new Seal(randomBytes(32))
let folder = ''
let path = ''
let opened: EmbeddedRuns[] = []
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'runs-'))
  path = join(folder, 'state.db-runs')
})
afterEach(async () => {
  await Promise.all(opened.map((store) => store.close()))
  ;[opened, said] = [[], []]
  rmSync(folder, { recursive: true })
})

let said: (string | undefined)[] = []

async function open(key = () => seal): Promise<ReturnType<typeof followed>> {
  const store = new EmbeddedRuns({ path, seal: key, told: (fault) => said.push(fault?.code) })
  opened.push(store)
  const handle = followed(store)
  await store.open().catch(() => {})
  return handle
}

describeRunStore('the runs in a file', async () => {
  const make = () => new EmbeddedRuns({ path, seal: () => seal })
  return { store: make(), reopen: async () => make() }
})

describe('the file of the runs', () => {
  it('is made with the first of them, for us alone', async () => {
    const { store } = await open()
    expect(existsSync(path)).toBe(false)
    await store.put(newRun())
    expect(statSync(path).mode & 0o777).toBe(0o600)
  })

  it('shows neither id nor stub nor digest', async () => {
    const { store } = await open()
    const run = newRun({ label: 'a label' })
    await store.put(run)
    await store.bind('devbot', 'wake-of-devbot')
    await store.close()
    const bytes = readdirSync(folder).map((file) => readFileSync(join(folder, file)).toString('latin1'))
    for (const word of [run.id, run.passwordDigest, run.stubs['github'] ?? '', 'a label', 'wake-of-devbot'])
      expect(bytes.join('')).not.toContain(word)
    expect(bytes.join('')).toContain('runs')
  })

  it('opens with no other key, and what was kept is known once the right one is back', async () => {
    const { store } = await open()
    const run = newRun()
    await store.put(run)
    await store.close()
    let key = new Seal(randomBytes(32))
    const handle = await open(() => key)
    await expect(handle.store.open()).rejects.toMatchObject({ code: 'seal_key_wrong' })
    expect(handle.kept).toMatchObject({ current: false, runs: [] })
    await expect(handle.store.put(newRun())).rejects.toMatchObject({ code: 'seal_key_wrong' })
    key = seal
    expect(await within(() => handle.kept?.current === true)).toBeDefined()
    expect([handle.ids(), said]).toEqual([[run.id], ['seal_key_wrong', undefined]])
  })

  it('that is damaged in one row costs that run alone', async () => {
    const { store } = await open()
    const [run, other] = [newRun(), newRun()]
    await store.put(run)
    await store.put(other)
    await store.close()
    const database = new DatabaseSync(path)
    database.exec(`UPDATE runs SET sealed = zeroblob(80) WHERE name = (SELECT min(name) FROM runs)`)
    database.close()
    expect((await open()).ids()).toHaveLength(1)
    expect(readRuns(path, seal)).toHaveLength(1)
  })

  it('that cannot be written keeps no run, ends one all the same, and is told once it can be', async () => {
    const { store, ids, bound } = await open()
    const run = newRun()
    await store.put(run)
    // Another writer that does not let go, as a full disk would not.
    const lock = new DatabaseSync(path)
    lock.exec('BEGIN IMMEDIATE')
    await expect(store.put(newRun())).rejects.toMatchObject({ code: 'store_locked' })
    expect(await store.end(run)).toEqual({ mine: undefined, told: false })
    expect(await store.bind('devbot', 'wake-1')).toBe(false)
    expect([ids(), bound()]).toEqual([[], { devbot: 'wake-1' }])
    lock.exec('ROLLBACK')
    lock.close()
    expect(await within(() => readRuns(path, seal).filter(({ kind }) => kind !== 'live').length === 2)).toBeDefined()
    expect(await store.end(run)).toEqual({ mine: true, told: true })
    expect(said).toEqual(['store_locked', undefined])
  })

  it('that is no store is left as it is', async () => {
    writeFileSync(path, 'no database at all')
    const { store } = await open()
    await expect(store.put(newRun())).rejects.toMatchObject({ code: 'store_corrupt' })
    expect(readFileSync(path, 'utf8')).toBe('no database at all')
  })
})
