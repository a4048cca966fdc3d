import { mkdtemp, readFile, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { auditLine } from '#observe/audit-line.ts'
import { createMetrics } from '#observe/metrics.ts'
import { AuditTrail } from '#observe/audit-trail.ts'
import { record } from './records.ts'

let folder: string

beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), 'trail-'))))
afterEach(() => rm(folder, { recursive: true }))

const ids = (text: string): string[] =>
  text
    .split('\n')
    .filter(Boolean)
    .map((line) => (JSON.parse(line) as { id: string }).id)

describe('the trail', () => {
  it('leads every record to each sink and into the metrics', async () => {
    const metrics = createMetrics({ version: '0', revision: 'x', node: 'v' }, { runtime: false })
    const stdout = new PassThrough()
    const file = join(folder, 'audit.jsonl')
    const trail = new AuditTrail({ stdout: true, file }, stdout, metrics)
    trail.write(record({ id: 'one' }))
    trail.write(record({ id: 'two' }))
    expect(Object.keys(trail.depth).toSorted()).toEqual(['file', 'stdout'])
    await trail.close()
    expect(trail.depth).toEqual({ file: 0, stdout: 0 })
    expect(ids(await readFile(file, 'utf8'))).toEqual(['one', 'two'])
    expect(ids(String(stdout.read()))).toEqual(['one', 'two'])
    expect(await metrics.text()).toMatch(/^ironproxy_requests_total\{[^}]*agent="devbot"[^}]*\} 2$/m)
  })

  it('takes the line of another thread as if the record had been written here', async () => {
    const rows = [
      record({ id: 'one', swaps: [{ credential: 'github', place: 'query:key' }], bytesUp: 7 }),
      record({ id: 'two', path: '/ü' }),
    ]
    const found = []
    for (const how of ['record', 'line'] as const) {
      const metrics = createMetrics({ version: '0', revision: 'x', node: 'v' }, { runtime: false })
      const stdout = new PassThrough()
      const trail = new AuditTrail({ stdout: true }, stdout, metrics)
      for (const row of rows) {
        if (how === 'record') trail.write(row)
        else trail.take(Buffer.from(auditLine(row)))
      }
      await trail.close()
      found.push([String(stdout.read()), trail.recent(), await metrics.text()])
    }
    expect(found[1]).toEqual(found[0])
    expect(ids(String(found[1]?.[0]))).toEqual(['one', 'two'])
  })

  it('has only the sinks of the settings', async () => {
    const metrics = createMetrics({ version: '0', revision: 'x', node: 'v' }, { runtime: false })
    const stdout = new PassThrough()
    const trail = new AuditTrail({ stdout: false }, stdout, metrics)
    trail.write(record())
    await trail.close()
    expect([trail.depth, stdout.read()]).toEqual([{}, null])
  })

  it('says of names and budgets on which run their agent is; an exchange has said it itself', async () => {
    const metrics = createMetrics({ version: '0', revision: 'x', node: 'v' }, { runtime: false })
    const file = join(folder, 'audit.jsonl')
    const trail = new AuditTrail({ stdout: false, file }, new PassThrough(), metrics)
    trail.follow({ boundTo: (agent) => (agent === 'devbot' ? 'wake-1' : undefined) })
    for (const type of ['dns', 'budget', 'request'] as const) trail.write(record({ type, runId: undefined }))
    trail.write(record({ type: 'dns', agent: 'other', runId: undefined }))
    trail.write(record({ type: 'dns', agent: null, runId: undefined }))
    await trail.close()
    const lines = (await readFile(file, 'utf8')).split('\n').filter(Boolean)
    const runs = lines.map((line) => (JSON.parse(line) as { runId?: string }).runId)
    expect(runs).toEqual(['wake-1', 'wake-1', undefined, undefined, undefined])
  })

  it('opens its file again for whoever rotates it, and loses nothing', async () => {
    const metrics = createMetrics({ version: '0', revision: 'x', node: 'v' }, { runtime: false })
    const file = join(folder, 'audit.jsonl')
    const trail = new AuditTrail({ stdout: false, file }, new PassThrough(), metrics)
    trail.write(record({ id: 'before' }))
    while ((trail.depth['file'] ?? 0) > 0) await new Promise((resolve) => setTimeout(resolve, 5))
    await rename(file, `${file}.1`)
    trail.reopen()
    trail.write(record({ id: 'after' }))
    await trail.close()
    expect([...ids(await readFile(`${file}.1`, 'utf8')), ...ids(await readFile(file, 'utf8'))]).toEqual(['before', 'after'])
  })
})
