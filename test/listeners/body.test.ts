import { PassThrough } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { BodyQueue, chunksOf } from '#listeners/body.ts'

const sizeOf = 16 * 1024

async function read(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  let text = ''
  for await (const chunk of chunks) text += Buffer.from(chunk).toString('latin1')
  return text
}

it('gives every chunk in its order, those that came before anybody read too', async () => {
  const stream = new PassThrough()
  stream.write('a')
  const chunks = chunksOf(stream)
  stream.write('b')
  const text = read(chunks)
  await turn()
  stream.write('c')
  stream.end('d')
  expect(await text).toBe('abcd')
})

it('gives each chunk by itself, in the turn it came in', async () => {
  const stream = new PassThrough()
  const chunks = chunksOf(stream)[Symbol.asyncIterator]()
  const [first, second] = [chunks.next(), turn()]
  await second
  stream.write('a')
  stream.write('b')
  expect((await first).value).toEqual(Buffer.from('a'))
  expect((await chunks.next()).value).toEqual(Buffer.from('b'))
})

it('holds the agent up while nobody reads on', async () => {
  const stream = new PassThrough({ highWaterMark: sizeOf })
  const chunks = chunksOf(stream)[Symbol.asyncIterator]()
  const first = chunks.next()
  let taken = 0
  while (stream.write(Buffer.alloc(sizeOf)) || taken < 4) {
    taken += 1
    await turn()
    if (taken > 100) break
  }
  expect(taken).toBeLessThan(20)
  await first
  const left = (async () => {
    let size = 0
    for (let step = await chunks.next(); !step.done; step = await chunks.next()) size += step.value.length
    return size
  })()
  stream.end()
  expect(await left).toBe(taken * sizeOf)
})

it('holds an agent up that sends a byte at a time, since each takes an object', async () => {
  const source = { held: false }
  const queue = new BodyQueue({ pause: () => void (source.held = true), resume: () => void (source.held = false) })
  let pushed = 0
  while (!source.held && pushed < 65_536) {
    queue.push(Buffer.of(1))
    pushed += 1
  }
  expect(pushed).toBeLessThan(600)
  for (let i = 0; i < pushed; i += 1) expect((await queue.next()).done).toBe(false)
  void queue.next()
  expect(source.held).toBe(false)
})

it('may be left early, and the stream stays', async () => {
  const stream = new PassThrough()
  stream.write('a')
  for await (const chunk of chunksOf(stream)) {
    expect(chunk).toEqual(Buffer.from('a'))
    break
  }
  stream.write('b')
  await turn()
  expect(stream.destroyed).toBe(false)
  stream.resume()
  stream.end()
  await turn()
  expect(stream.readableEnded).toBe(true)
})

it.each([
  ['before it is read', (stream: PassThrough) => stream.destroy(new Error('broken')), 'broken'],
  ['without a word', (stream: PassThrough) => stream.destroy(), 'client_closed'],
])('that breaks %s throws', async (_name, breaks, said) => {
  const stream = new PassThrough()
  const chunks = chunksOf(stream)
  breaks(stream)
  await turn()
  await expect(read(chunks)).rejects.toThrow(said === 'broken' ? said : expect.objectContaining({ code: said }))
})

it('that breaks off in the middle gives what came, and throws', async () => {
  const stream = new PassThrough()
  const seen: string[] = []
  const reading = (async () => {
    for await (const chunk of chunksOf(stream)) seen.push(Buffer.from(chunk).toString())
  })()
  stream.write('a')
  await turn()
  stream.destroy(new Error('gone'))
  await expect(reading).rejects.toThrow('gone')
  expect(seen).toEqual(['a'])
})
