import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Secret } from '#base/secret.ts'
import type { GrantStore } from '#contracts/grants.ts'
import { openDatabase } from '#store/sqlite/database.ts'
import { EmbeddedStore, openEmbeddedStore } from '#store/sqlite/grants.ts'
import { openSeal } from '#store/seal-key.ts'
import { Seal } from '#store/seal.ts'
import { findLeaks, makeCanary } from '../../kit/canary.ts'
import { describeGrantStore } from '../contract.ts'
import { asNobody, thrownBy } from '../files.ts'
import { pairOf, shown, shownGrant } from '../pairs.ts'

const seal = new Seal(randomBytes(32))
let folder = ''
let path = ''
let opened: GrantStore[] = []
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'store-'))
  path = join(folder, 'state.db')
})
afterEach(async () => {
  await Promise.all(opened.map((store) => store.close()))
  opened = []
  chmodSync(folder, 0o700)
  rmSync(folder, { recursive: true })
})

function open(at = path): GrantStore {
  const store = openEmbeddedStore({ path: at, seal })
  opened.push(store)
  return store
}

/** A store that holds `claude` and `codex`, each with a pair before, closed. */
async function made(): Promise<void> {
  const store = open()
  for (const id of ['claude', 'codex']) {
    await store.login(id, pairOf(1), 1)
    await store.commit(id, 1, pairOf(2), 2)
  }
  await store.close()
}

/** Works on the tables behind the store's back. */
function meddle(sql: string, ...values: readonly Uint8Array[]): void {
  const database = new DatabaseSync(path)
  database.prepare(sql).run(...values)
  database.close()
}

const filesOf = (): readonly (readonly [string, string])[] =>
  readdirSync(folder).map((name) => [name, readFileSync(join(folder, name)).toString('hex')])

describeGrantStore('the embedded store', async () => {
  const at = join(folder, 'contract/state.db')
  return { store: open(at), reopen: async () => open(at) }
})

describe('the file', () => {
  test('is for us alone, and so is what SQLite puts beside it', async () => {
    const store = open(join(folder, 'deep/state.db'))
    await store.login('claude', pairOf(1), 1)
    expect(statSync(join(folder, 'deep')).mode & 0o777).toBe(0o700)
    const modes = readdirSync(join(folder, 'deep')).map((name) => [name, statSync(join(folder, 'deep', name)).mode & 0o777])
    expect(Object.fromEntries(modes)).toEqual({ 'state.db': 0o600, 'state.db-wal': 0o600, 'state.db-shm': 0o600 })
  })

  test('is made private again when it was opened up', async () => {
    await made()
    chmodSync(path, 0o664)
    await open().login('claude', pairOf(3), 3)
    expect(readdirSync(folder).map((name) => statSync(join(folder, name)).mode & 0o077)).toEqual([0, 0, 0])
  })

  test('holds no real value, nor why a login is needed, in any spelling', async () => {
    const secrets = { access: makeCanary(), refresh: makeCanary(), old: makeCanary(), reason: makeCanary() }
    const store = open()
    const pair = { ...pairOf(1), access: new Secret('a', secrets.access), refresh: new Secret('r', secrets.refresh) }
    await store.login('claude', { ...pair, refresh: new Secret('r', secrets.old) }, 1)
    await store.begin('claude', 1, 2)
    await store.commit('claude', 1, pair, 3)
    await store.fail('claude', 2, secrets.reason, 4)
    const sinks = () => readdirSync(folder).map((name) => ({ name, bytes: readFileSync(join(folder, name)) }))
    expect(sinks().map(({ name }) => name)).toContain('state.db-wal')
    expect(findLeaks(secrets, sinks())).toEqual([])
    await store.close()
    expect(findLeaks(secrets, sinks())).toEqual([])
    // The search itself works: what is not sealed is found.
    expect(sinks().some(({ bytes }) => bytes.includes('claude'))).toBe(true)
  })

  test('is synced with every write, into a write-ahead log', () => {
    const database = openDatabase(path, seal)
    expect(database.prepare('PRAGMA synchronous').get()).toEqual({ synchronous: 2 })
    expect(database.prepare('PRAGMA journal_mode').get()).toEqual({ journal_mode: 'wal' })
    database.close()
  })

  test('has no rival: of two that make it at once, both hold the same store', async () => {
    const stores = [open(), open()]
    await stores[0]?.login('claude', pairOf(1), 1)
    expect(await stores[1]?.read('claude')).toMatchObject({ generation: 1 })
    expect(readdirSync(folder).filter((name) => name.endsWith('.new'))).toEqual([])
  })
})

describe('a store is refused, and stays as it is,', () => {
  beforeEach(made)

  const refused = (code: string, other = seal): Error => {
    const before = filesOf()
    const error = thrownBy(() => openEmbeddedStore({ path, seal: other }))
    expect(error).toMatchObject({ name: 'StoreError', code })
    expect(error.message).toContain(path)
    expect(filesOf()).toEqual(before)
    return error
  }

  test('with another key', async () => {
    expect(refused('seal_key_wrong', new Seal(randomBytes(32))).message).toContain('sealKey')
    expect(shown((await open().read('claude'))?.pair)).toEqual(shown(pairOf(2)))
  })

  test('with another key, also while its log holds what the file does not', async () => {
    const store = open()
    await store.commit('claude', 2, pairOf(3), 3)
    const error = thrownBy(() => openEmbeddedStore({ path, seal: new Seal(randomBytes(32)) }))
    expect(error).toMatchObject({ code: 'seal_key_wrong' })
    expect((await store.read('claude'))?.generation).toBe(3)
  })

  test('when a newer program wrote it', () => {
    meddle('UPDATE meta SET version = 2')
    expect(refused('store_version').message).toContain('version 2')
  })

  test.each([
    ['it was cut to nothing', 0],
    ['it was cut inside its header', 50],
    ['it was cut inside a page', 5000],
    ['it was cut between two pages', 4096],
  ])('when %s', (_case, size) => {
    truncateSync(path, size)
    refused('store_corrupt')
  })

  test('when it is something else', () => {
    writeFileSync(path, 'no database, whatever it is '.repeat(200))
    refused('store_corrupt')
  })

  test('when it is a database of someone else', () => {
    rmSync(path)
    const database = new DatabaseSync(path)
    database.exec('CREATE TABLE notes (text TEXT)')
    database.close()
    refused('store_corrupt')
  })

  test('when it is empty and its log is not, which SQLite would delete', () => {
    truncateSync(path, 0)
    writeFileSync(`${path}-wal`, 'what is left of it')
    refused('store_corrupt')
  })

  test('when only its log is left', () => {
    rmSync(path)
    writeFileSync(`${path}-wal`, 'what is left of it')
    refused('store_corrupt')
  })

  test.each([
    ['its folder', 0o555, 0o644],
    ['it', 0o777, 0o444],
  ])('when %s cannot be written to', (_case, folderMode, mode) => {
    const before = readFileSync(path)
    chmodSync(folder, folderMode)
    chmodSync(path, mode)
    const error = thrownBy(() => asNobody(() => openEmbeddedStore({ path, seal })))
    expect(error).toMatchObject({ code: 'store_readonly' })
    expect(error.message).toContain(path)
    expect(readFileSync(path)).toEqual(before)
  })

  test('when it cannot be read', () => {
    chmodSync(folder, 0o777)
    chmodSync(path, 0o000)
    expect(thrownBy(() => asNobody(() => openEmbeddedStore({ path, seal })))).toMatchObject({ code: 'store_io' })
  })
})

describe('a store that cannot be made', () => {
  test('leaves nothing behind', () => {
    chmodSync(folder, 0o555)
    expect(thrownBy(() => asNobody(() => openEmbeddedStore({ path, seal })))).toMatchObject({ code: 'store_readonly' })
    expect(readdirSync(folder)).toEqual([])
  })

  test('says so when a file stands where its folder should be', () => {
    writeFileSync(join(folder, 'file'), '')
    expect(thrownBy(() => openEmbeddedStore({ path: join(folder, 'file/state.db'), seal }))).toMatchObject({ code: 'store_io' })
  })
})

describe('a damaged row', () => {
  beforeEach(made)

  test.each([
    [
      'its pair was changed',
      "UPDATE grants SET pair = CAST(substr(pair, 1, 40) || iif(substr(pair, 41, 1) = x'00', x'01', x'00') || substr(pair, 42) AS BLOB) WHERE credential = 'claude'",
    ],
    ['its pair was cut', "UPDATE grants SET pair = substr(pair, 1, 20) WHERE credential = 'claude'"],
    ['its pair is empty', "UPDATE grants SET pair = x'' WHERE credential = 'claude'"],
    ['it has the pair before', "UPDATE grants SET pair = previous WHERE credential = 'claude'"],
    [
      'it has the pair of another',
      "UPDATE grants SET pair = (SELECT pair FROM grants WHERE credential = 'codex') WHERE credential = 'claude'",
    ],
    ['its generation was changed', "UPDATE grants SET generation = 7 WHERE credential = 'claude'"],
    ['its generation is none', "UPDATE grants SET generation = -1 WHERE credential = 'claude'"],
    ['its reason was changed', "UPDATE grants SET needs_login = x'0102' WHERE credential = 'claude'"],
  ])('is told of, spares the others and is mended by a login: %s', async (_case, sql) => {
    meddle(sql)
    const store = open()
    await expect(store.read('claude')).rejects.toMatchObject({
      code: 'store_corrupt',
      message: expect.stringMatching(/state\.db: .* claude .*`iron-proxy login claude`/),
    })
    expect(shown((await store.read('codex'))?.pair)).toEqual(shown(pairOf(2)))
    const generation = await store.login('claude', pairOf(9), 9)
    expect(shownGrant(await store.read('claude'))).toMatchObject({ generation, pair: shown(pairOf(9)), needsLogin: undefined })
  })

  test('can be told from a row of another key: the pair before it still opens', async () => {
    meddle("UPDATE grants SET pair = x'01' WHERE credential = 'claude'")
    await expect(open().read('claude')).rejects.toThrow('the pair before it does')
    meddle("UPDATE grants SET pair = x'01', previous = x'01' WHERE credential = 'claude'")
    await expect(open().read('claude')).rejects.not.toThrow('the pair before it does')
  })

  test('never passes for another pair, whichever byte of the file is another', async () => {
    const whole = readFileSync(path)
    const used = [...whole.keys()].filter((index) => whole[index] !== 0)
    const outcomes = new Set<string>()
    for (let index = 0; index < used.length; index += Math.ceil(used.length / 300)) {
      const at = used[index] ?? 0
      const damaged = Buffer.from(whole)
      damaged[at] = (damaged[at] ?? 0) ^ 0xff
      writeFileSync(path, damaged)
      outcomes.add(await outcomeOf(at))
      for (const end of ['-wal', '-shm']) rmSync(path + end, { force: true })
    }
    expect([...outcomes].toSorted()).toEqual(expect.arrayContaining(['kept', 'store_corrupt']))
  })

  async function outcomeOf(at: number): Promise<string> {
    let store: GrantStore | undefined
    try {
      store = openEmbeddedStore({ path, seal })
      const found = await store.read('claude')
      if (!found) return 'missing'
      expect(shown(found.pair), `byte ${at}`).toEqual(shown(pairOf(2)))
      expect(found.generation).toBe(2)
      return 'kept'
    } catch (error) {
      expect(error, `byte ${at}`).toMatchObject({ name: 'StoreError' })
      return (error as { code: string }).code
    } finally {
      await store?.close()
    }
  }
})

describe('when a write fails,', () => {
  beforeEach(made)

  test('as the disk is full, the old pair and its mark stay, and the write can be made again', async () => {
    const database = openDatabase(path, seal)
    const store = new EmbeddedStore(database, { path, seal })
    opened.push(store)
    await store.begin('claude', 2, 3)
    const { page_count: pages } = database.prepare('PRAGMA page_count').get() ?? {}
    database.exec(`PRAGMA max_page_count = ${String(pages)}`)
    const next = pairOf(3, 'x'.repeat(50_000))
    await expect(store.commit('claude', 2, next, 4)).rejects.toMatchObject({
      code: 'store_full',
      message: expect.stringContaining(path),
    })
    await expect(store.login('gemini', next, 4)).rejects.toMatchObject({ code: 'store_full' })
    expect(shownGrant(await store.read('claude'))).toMatchObject({ generation: 2, inFlightSince: 3, pair: shown(pairOf(2)) })
    expect(await store.read('gemini')).toBeUndefined()
    database.exec('PRAGMA max_page_count = 100000')
    expect(await store.commit('claude', 2, next, 5)).toBe(true)
    expect(shown((await open().read('claude'))?.pair)).toEqual(shown(next))
  })

  test('as another process writes for long, it can be made again, and reads go on', async () => {
    const store = open()
    const other = new DatabaseSync(path)
    other.exec('BEGIN IMMEDIATE')
    await expect(store.begin('claude', 2, 3)).rejects.toMatchObject({ code: 'store_locked' })
    expect((await store.read('claude'))?.generation).toBe(2)
    other.exec('ROLLBACK')
    other.close()
    expect(await store.begin('claude', 2, 3)).toBe(true)
  })

  test('as it makes no sense, later ones are none the worse', async () => {
    const store = open()
    await expect(store.begin('claude', 2, Number.NaN)).rejects.toMatchObject({ name: 'StoreError' })
    expect(await store.begin('claude', 2, 3)).toBe(true)
  })

  test('the time of a release is the time the store was given', async () => {
    const store = openEmbeddedStore({ path, seal, now: () => 777 })
    opened.push(store)
    await store.begin('claude', 2, 3)
    await store.release('claude', 2)
    expect((await store.read('claude'))?.writtenAt).toBe(777)
  })
})

describe('a process that is killed at any moment', () => {
  test('leaves the pair of one generation, whole, and never an older one than it was told is durable', async () => {
    const trials = await Promise.all(Array.from({ length: 8 }, (_, index) => killedAgainAndAgain(join(folder, `${index}`), 3)))
    // Kills at random fall on both sides of a commit: a mark was seen, and so was none.
    expect(new Set(trials.flat())).toEqual(new Set([true, false]))
  }, 60_000)

  /** Whether a mark was found, for each kill. */
  async function killedAgainAndAgain(home: string, times: number): Promise<readonly boolean[]> {
    const marks: boolean[] = []
    for (let time = 0; time < times; time += 1) {
      const durable = await killed(home)
      const store = openEmbeddedStore({
        path: join(home, 'state.db'),
        seal: openSeal({ path: join(home, 'seal.key'), make: false }),
      })
      const found = await store.read('claude')
      await store.close()
      const generation = found?.generation ?? 0
      expect([durable, durable + 1]).toContain(generation)
      expect(shown(found?.pair)).toEqual(shown(pairOf(generation, 'x'.repeat(9000))))
      marks.push(found?.inFlightSince !== undefined)
    }
    return marks
  }

  /** The last generation the writer said is durable before it was killed. */
  async function killed(home: string): Promise<number> {
    const program = new URL('writer.ts', import.meta.url).pathname
    const child = spawn(process.execPath, [program, join(home, 'state.db'), join(home, 'seal.key')], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, NODE_NO_WARNINGS: '1' },
    })
    let said = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      if (said === '') setTimeout(() => child.kill('SIGKILL'), Math.random() * 30)
      said += text
    })
    await once(child, 'close')
    expect(child.signalCode).toBe('SIGKILL')
    return Number(said.slice(0, said.lastIndexOf('\n')).split('\n').at(-1))
  }
})
