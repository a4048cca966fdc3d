import { mkdtemp, readFile, rename, rm, stat } from 'node:fs/promises'
import { createServer, connect } from 'node:net'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Writable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { AuditQueue, type AuditLogOptions } from '#observe/audit-queue.ts'
import { fileSink } from '#observe/file-sink.ts'
import { streamSink, type Sink } from '#observe/sinks.ts'
import { record } from './records.ts'

let directory = ''
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'audit-'))
})
afterEach(async () => {
  vi.useRealTimers()
  await rm(directory, { recursive: true })
})

describe('to a file', () => {
  test('records are on disk, whole and in order, when flush resolves', async () => {
    const { log, path, results } = toFile()
    for (let index = 0; index < 1000; index += 1) log.write(record({ id: String(index) }))
    expect(log.depth).toBe(1000)
    await log.flush()
    expect(await ids(path)).toEqual(Array.from({ length: 1000 }, (_, index) => String(index)))
    expect(log.depth).toBe(0)
    expect(log.healthy).toBe(true)
    expect(results).toEqual({ ok: 1000, error: 0, dropped: 0 })
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    await log.close()
  })

  test('a record that came alone is written without being asked for', async () => {
    const { log, path } = toFile()
    log.write(record({ id: 'alone' }))
    await vi.waitFor(async () => expect(await ids(path)).toEqual(['alone']))
    await log.close()
  })

  test('what was there is kept', async () => {
    const first = toFile()
    first.log.write(record({ id: 'first' }))
    await first.log.close()
    const second = toFile()
    second.log.write(record({ id: 'second' }))
    await second.log.close()
    expect(await ids(first.path)).toEqual(['first', 'second'])
  })

  test('reopen goes on in a new file after the old one was moved away', async () => {
    const { log, path } = toFile()
    log.write(record({ id: 'before' }))
    await log.flush()
    await rename(path, `${path}.1`)
    log.reopen()
    log.write(record({ id: 'after' }))
    await log.close()
    expect(await ids(`${path}.1`)).toEqual(['before'])
    expect(await ids(path)).toEqual(['after'])
  })

  test('a close comes with everything that was written, and what comes later is counted as lost', async () => {
    const { log, path, results } = toFile()
    log.write(record({ id: 'last' }))
    await log.close()
    log.write(record({ id: 'late' }))
    expect(await ids(path)).toEqual(['last'])
    expect(results.dropped).toBe(1)
    await log.close()
  })

  test('a folder that is not there is told and does no harm', async () => {
    const { log, results } = toFile('missing/audit.jsonl')
    log.write(record())
    await log.close()
    expect(log.healthy).toBe(false)
    expect(results).toEqual({ ok: 0, error: 1, dropped: 1 })
  })
})

describe('a sink that fails', () => {
  test('is tried again, from the byte where it stopped', async () => {
    vi.useFakeTimers()
    const { sink, written, fail } = flaky()
    const { log, results } = counted(sink)
    fail(2)
    for (let index = 0; index < 100; index += 1) log.write(record({ id: String(index) }))
    await vi.advanceTimersByTimeAsync(60)
    expect(log.healthy).toBe(false)
    await vi.advanceTimersByTimeAsync(5000)
    expect(log.healthy).toBe(true)
    expect(results).toEqual({ ok: 100, error: 200, dropped: 0 })
    expect(parsed(written()).map((each) => each.id)).toEqual(Array.from({ length: 100 }, (_, index) => String(index)))
  })

  test('gets one more try when the log is closed while it waits', async () => {
    vi.useFakeTimers()
    const { sink, written, fail } = flaky()
    const { log, results } = counted(sink)
    fail(1)
    log.write(record({ id: 'kept' }))
    await vi.advanceTimersByTimeAsync(60)
    await log.close()
    expect(parsed(written()).map((each) => each.id)).toEqual(['kept'])
    expect(results).toEqual({ ok: 1, error: 1, dropped: 0 })
  })
})

describe('a destination that takes nothing', () => {
  test('holds nobody up: records queue to the bound, then are dropped and counted', async () => {
    const { stream, release } = blocked()
    const { log, results } = counted(streamSink(stream), { queueBytes: 100_000 })
    for (let index = 0; index < 2000; index += 1) log.write(record({ id: String(index) }))
    expect(log.healthy).toBe(false)
    expect(log.depth).toBeLessThan(2000)
    expect(log.depth * 200).toBeLessThanOrEqual(100_000)
    expect(results.dropped).toBe(2000 - log.depth)
    const kept = log.depth
    release()
    await log.flush()
    expect(log.healthy).toBe(true)
    expect(results).toEqual({ ok: kept, error: 0, dropped: 2000 - kept })
    log.write(record())
    await log.close()
    expect(results.ok).toBe(kept + 1)
  })

  test('does not keep the log from closing', async () => {
    const { stream } = blocked()
    const { log, results } = counted(streamSink(stream), { closeTimeoutMs: 20 })
    log.write(record())
    await log.close()
    expect(results).toEqual({ ok: 0, error: 0, dropped: 1 })
  })

  test('may be a real socket that nobody reads', async () => {
    const server = createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address() as { port: number }
    const socket = connect(address.port, '127.0.0.1')
    const [peer] = await once(server, 'connection')
    const { log, results } = counted(streamSink(socket), { queueBytes: 1_000_000, closeTimeoutMs: 20 })
    try {
      const path = `/${'x'.repeat(2000)}`
      while (results.dropped === 0) {
        for (let index = 0; index < 20; index += 1) log.write(record({ path }))
        await new Promise((resolve) => setImmediate(resolve))
      }
      await log.close()
      expect(log.depth).toBeGreaterThan(0)
      expect(results.dropped).toBeGreaterThan(log.depth)
    } finally {
      socket.destroy()
      peer.destroy()
      server.close()
    }
  })
})

test('a stream that breaks is no crash', async () => {
  const stream = new PassThrough()
  const { log, results } = counted(streamSink(stream))
  stream.destroy(new Error('broken pipe'))
  // Without a listener the stream would throw here, and in a program end it.
  stream.emit('error', new Error('broken pipe'))
  log.write(record())
  await log.close()
  expect(log.healthy).toBe(false)
  expect(results).toEqual({ ok: 0, error: 1, dropped: 1 })
})

test('a stream gets whole lines', async () => {
  const stream = new PassThrough()
  const { log } = counted(streamSink(stream))
  for (let index = 0; index < 500; index += 1) log.write(record({ id: String(index), path: `/${'x'.repeat(300)}` }))
  const read = text(stream)
  await log.close()
  stream.end()
  expect(parsed(await read)).toHaveLength(500)
})

function toFile(name = 'audit.jsonl') {
  const path = join(directory, name)
  return { path, ...counted(fileSink(path)) }
}

function counted(sink: Sink, options: AuditLogOptions = {}) {
  const results = { ok: 0, error: 0, dropped: 0 }
  const log = new AuditQueue(sink, { ...options, onResult: (result, records) => (results[result] += records) })
  return { log, results }
}

/** Takes 1000 bytes at a time, and fails as often as told, each time after the first 1000 bytes. */
function flaky() {
  const chunks: Buffer[] = []
  let failures = 0
  let calls = 0
  const sink: Sink = {
    write(bytes) {
      calls += 1
      if (failures > 0 && (calls > 1 || bytes.length <= 1000)) {
        failures -= 1
        return Promise.reject(new Error('no space left'))
      }
      const taken = bytes.subarray(0, 1000)
      chunks.push(Buffer.from(taken))
      return Promise.resolve(taken.length)
    },
    sync: () => Promise.resolve(),
    reopen: () => Promise.resolve(),
    close: () => Promise.resolve(),
  }
  return { sink, written: () => Buffer.concat(chunks).toString(), fail: (count: number) => (failures = count) }
}

/** A stream whose first write does not end until it is released. */
function blocked() {
  let done: (() => void) | undefined
  let open = false
  const stream = new Writable({
    write(_chunk, _encoding, callback) {
      if (open) callback()
      else done = callback
    },
  })
  const release = () => {
    open = true
    done?.()
  }
  return { stream, release }
}

async function ids(path: string): Promise<string[]> {
  return parsed(await readFile(path, 'utf8')).map((each) => each.id)
}

function parsed(lines: string): { id: string }[] {
  return lines
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
}
