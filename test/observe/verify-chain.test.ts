import { generateKeyPairSync } from 'node:crypto'
import { appendFile, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { AuditQueue } from '#observe/audit-queue.ts'
import { genesis, linked, linkIn } from '#observe/chain.ts'
import { fileSink } from '#observe/file-sink.ts'
import { oldFiles, removeOld } from '#observe/rotation.ts'
import { headsFile, openSignKey, readHeads, readPublicKey, signHead } from '#observe/signed-heads.ts'
import { verifyChain } from '#observe/verify-chain.ts'
import { dispatched } from '../kit/dispatched.ts'
import { record } from './records.ts'

let folder: string
let path: string
let key: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'chain-'))
  path = join(folder, 'audit.jsonl')
  key = join(folder, 'keys', 'audit.key')
})
afterEach(() => rm(folder, { recursive: true }))

interface Wanted {
  readonly every?: number
  readonly bytes?: number
  readonly files?: number
}

/** What one process writes, from its start to its stop. */
async function written(ids: readonly string[], { every = 10, bytes = 0, files = 0 }: Wanted = {}): Promise<void> {
  const log = new AuditQueue(
    fileSink(path, { chain: { key, every: { records: every, seconds: 60 } }, rotation: { bytes, files, days: 0 } }),
  )
  for (const id of ids) {
    log.write(record({ id }))
    // Batches of their own, so that a file is rotated between them.
    if (bytes > 0) await log.flush()
  }
  await log.close()
}

const numbered = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => `id-${from + i}`)

async function verified(named?: readonly string[]) {
  const files = named ?? [...(await oldFiles(path)), path]
  return verifyChain(files, await readHeads(headsFile(path)), await readPublicKey(key))
}

async function edited(edit: (lines: string[]) => readonly string[]): Promise<void> {
  const lines = (await readFile(path, 'utf8')).trimEnd().split('\n')
  await writeFile(path, `${edit(lines).join('\n')}\n`)
}

/** Whoever has no key, but knows how links are made. */
function relinked(lines: readonly string[]): readonly string[] {
  const open = lines.map((line) => `${linkIn(line)?.open ?? ''}}\n`).join('')
  return linked(genesis, Buffer.from(open)).bytes.toString().trimEnd().split('\n')
}

describe('a chained audit', () => {
  it('is whole over starts, stops and rotations, and its records are as they were', async () => {
    await written(numbered(1, 25))
    await written(numbered(26, 40), { bytes: 2_000 })
    const report = await verified()
    expect(report).toMatchObject({ records: 40, signedTo: 40, unsigned: 0, unchained: 0, findings: [], warnings: [] })
    const files = [...(await oldFiles(path)), path]
    expect(files.length).toBeGreaterThan(3)
    const lines = (await Promise.all(files.map((file) => readFile(file, 'utf8')))).join('').trimEnd().split('\n')
    expect(lines.map((line) => (JSON.parse(line) as { id: string }).id)).toEqual(numbered(1, 40))
    expect((await stat(key)).mode & 0o777).toBe(0o600)
    for (const file of [...files, headsFile(path)]) expect((await stat(file)).mode & 0o777).toBe(0o600)
  })

  it('keeps so many old files as it should, and what is left is whole', async () => {
    await written(numbered(1, 60), { bytes: 2_000, files: 3 })
    expect(await oldFiles(path)).toHaveLength(3)
    const report = await verified()
    expect(report.records).toBeLessThan(60)
    expect(report).toMatchObject({ signedTo: 60, findings: [] })
  })

  it('removes old files by their days', async () => {
    await written(numbered(1, 30), { bytes: 2_000 })
    const old = await oldFiles(path)
    await removeOld(path, { bytes: 0, files: 0, days: 2 }, Date.now() + 86_400_000)
    expect(await oldFiles(path)).toEqual(old)
    await removeOld(path, { bytes: 0, files: 0, days: 2 }, Date.now() + 3 * 86_400_000)
    expect(await oldFiles(path)).toEqual([])
  })

  it.each<[string, (lines: string[]) => readonly string[], RegExp]>([
    [
      'a line was changed',
      (lines) => lines.with(4, (lines[4] ?? '').replace('"devbot"', '"other"')),
      /audit\.jsonl:5: record 5 is not/,
    ],
    ['a line was removed', (lines) => lines.toSpliced(4, 1), /records 5 to 5 are missing/],
    ['a line was put in', (lines) => lines.toSpliced(4, 0, lines[7] ?? ''), /record 8 stands behind|records 5 to 7 are missing/],
    [
      'a line was put in without a link',
      (lines) => lines.toSpliced(4, 0, '{"id":"new"}'),
      /audit\.jsonl:5: this line is not of the chain/,
    ],
    [
      'two lines changed places',
      (lines) => [lines[1] ?? '', lines[0] ?? '', ...lines.slice(2)],
      /first record is number 2, and|stands behind/,
    ],
    ['the begin was cut off', (lines) => lines.slice(3), /first record is number 4, and no head/],
    ['the end was cut off', (lines) => lines.slice(0, -3), /records 23 to 25 are missing: a head/],
    ['all was cut off', () => [], /records 1 to 25 are missing/],
    [
      'links of the begin were taken off',
      (lines) => lines.map((l, i) => (i < 3 ? `${linkIn(l)?.open ?? ''}}` : l)),
      /first record is number 4/,
    ],
    [
      'a line was changed and every link made anew',
      (lines) => relinked(lines.with(4, (lines[4] ?? '').replace('"devbot"', '"other"'))),
      /records up to 10 are not those that were signed|up to 25 are not those/,
    ],
    [
      'a line was removed and every link made anew',
      (lines) => relinked(lines.toSpliced(4, 1)),
      /up to \d+ are not those|are missing/,
    ],
  ])('is found out where %s', async (_name, edit, finding) => {
    for (let to = 5; to <= 25; to += 5) await written(numbered(to - 4, to))
    await edited(edit)
    const { findings } = await verified()
    expect(findings.join('\n')).toMatch(finding)
  })

  it('is found out where heads were removed, forged or cut', async () => {
    for (let to = 5; to <= 50; to += 5) await written(numbered(to - 4, to))
    const heads = await readFile(headsFile(path), 'utf8')
    const lines = heads.trimEnd().split('\n')
    await writeFile(headsFile(path), '')
    expect((await verified()).findings).toEqual(['no signed head is left'])
    await writeFile(headsFile(path), `${lines.slice(0, 2).join('\n')}\n`)
    expect((await verified()).findings.join()).toContain('heads are missing')
    await writeFile(headsFile(path), heads.replace('"seq":5', '"seq":6'))
    expect((await verified()).findings.join()).toContain('its signature does not fit')
    const { privateKey } = generateKeyPairSync('ed25519')
    const last = await readHeads(headsFile(path))
    const forged = signHead(privateKey, last.at(-1) ?? { ...genesis, time: '', reason: 'stop', every: 10 })
    await writeFile(headsFile(path), `${heads}${JSON.stringify(forged)}\n{"cut`)
    expect((await verified()).findings).toEqual([
      expect.stringMatching(/it names the key [\da-f]{16}, and this is/),
      expect.stringMatching(/head \d+ cannot be read/),
    ])
  })

  it('goes on after a crash that left half a line, and says so', async () => {
    await written(numbered(1, 5))
    await appendFile(path, '{"id":"ha')
    await written(numbered(6, 8))
    expect(await verified()).toMatchObject({ records: 8, findings: [], warnings: [expect.stringContaining('half a line')] })
  })

  it('says which records were signed only at the start after a crash', async () => {
    await written(numbered(1, 5))
    const heads = await readFile(headsFile(path), 'utf8')
    await written(numbered(6, 8))
    // As if the second process had died before it signed.
    await writeFile(headsFile(path), heads)
    await written(numbered(9, 9))
    const report = await verified()
    expect(report).toMatchObject({ records: 9, findings: [] })
    expect(report.warnings).toEqual(['records 6 to 8 were signed at the start after a crash, and not before'])
  })

  it('shows the gap where the end was cut off while nothing ran', async () => {
    await written(numbered(1, 5))
    await edited((lines) => lines.slice(0, 3))
    await written(numbered(6, 7))
    expect((await verified()).findings.join()).toContain('records 4 to 5 are missing')
  })

  it('is whole where others rotate it, under whatever name, and where the chain begins in a file that was there', async () => {
    await writeFile(path, '{"id":"old"}\n')
    const log = new AuditQueue(fileSink(path, { chain: { key, every: { records: 10, seconds: 60 } } }))
    log.write(record({ id: 'one' }))
    await log.flush()
    await rename(path, join(folder, 'moved'))
    log.reopen()
    log.write(record({ id: 'two' }))
    await log.close()
    expect(await verified([path, join(folder, 'moved')])).toMatchObject({ records: 2, unchained: 1, findings: [] })
  })

  it('signs after so many seconds what waits for no further record', async () => {
    const log = new AuditQueue(fileSink(path, { chain: { key, every: { records: 1_000, seconds: 0.01 } } }))
    log.write(record())
    await log.flush()
    await expect.poll(async () => (await readHeads(headsFile(path))).at(-1)?.reason).toBe('time')
    await log.close()
  })

  it('does not write with a key that others can read', async () => {
    await openSignKey(key)
    const { chmod } = await import('node:fs/promises')
    await chmod(key, 0o644)
    const sink = fileSink(path, { chain: { key, every: { records: 10, seconds: 60 } } })
    await expect(sink.write(Buffer.from('{"id":"x"}\n'))).rejects.toThrow('chmod 600')
    expect(await readdir(folder)).toEqual(['keys'])
  })
})

describe('audit verify', () => {
  it('answers with its exit code, for the files of the settings or those that are named', async () => {
    await written(numbered(1, 30), { bytes: 3_000 })
    const settings = ['--audit-file', path, '--audit-sign-key', key]
    const whole = await dispatched(['audit', 'verify', ...settings])
    expect(whole).toMatchObject({ code: 0, stderr: '' })
    expect(whole.stdout).toMatch(/^30 records, \d+ heads of the key [\da-f]{16}: whole, signed up to record 30\n$/)
    const pub = join(folder, 'audit.pub')
    await writeFile(pub, (await dispatched(['audit', 'key', ...settings])).stdout)
    const files = [path, ...(await oldFiles(path))]
    const named = await dispatched(['audit', 'verify', '--json', '--key', pub, '--heads', headsFile(path), ...files])
    expect([named.code, JSON.parse(named.stdout)]).toEqual([0, expect.objectContaining({ records: 30, findings: [] })])
    await edited((lines) => lines.with(0, (lines[0] ?? '').replace('devbot', 'x')))
    const changed = await dispatched(['audit', 'verify', ...settings])
    expect(changed.code).toBe(1)
    expect(changed.stdout).toMatch(/^changed: .*audit\.jsonl:1: record \d+ is not what was written/)
  })

  it.each([
    [['audit'], 64, 'write verify or key'],
    [['audit', 'verify'], 66, 'audit.key: cannot be read'],
    [['audit', 'verify', '--key', 'package.json', 'x'], 66, 'holds no Ed25519 key'],
  ])('%j ends with %d', async (argv, code, said) => {
    const done = await dispatched(argv)
    expect(done.code).toBe(code)
    expect(done.stderr).toContain(said)
  })
})
