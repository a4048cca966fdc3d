import { serveStream } from '#dns/stream.ts'
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { eventually, frame, question } from './questions.ts'

test('a client that asks without reading is read no further, and goes on when it reads', async () => {
  const unread: (() => void)[] = []
  let asked = 0
  let isReading = false
  const socket = new Duplex({
    read: () => {},
    write: (_chunk, _encoding, done) => (isReading ? done() : void unread.push(done)),
  }) as Socket
  serveStream(socket, (message) => {
    asked += 1
    return message
  })
  const chunk = Buffer.concat(Array.from({ length: 100 }, () => frame(question('good.test', 'A'))))
  for (let times = 0; times < 200; times += 1) socket.push(chunk)
  await sleep(20)
  expect(asked).toBeGreaterThan(0)
  expect(socket.writableLength).toBeLessThan(5 * socket.writableHighWaterMark)
  expect(asked).toBeLessThan(10_000)
  isReading = true
  for (const done of unread.splice(0)) done()
  expect(await eventually(() => asked === 20_000)).toBe(true)
  socket.destroy()
})
