import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { once } from 'node:events'
import { expect, it } from 'vitest'
import { json, serve } from '#admin/http.ts'

async function silent(port: number, count: number): Promise<Socket[]> {
  const sockets = Array.from({ length: count }, () => connect({ port, host: '127.0.0.1' }).on('error', () => {}))
  await Promise.all(sockets.map((socket) => once(socket, 'connect')))
  return sockets
}

it.each([260, 1_000])('a probe is answered within a second beside %i connections that say nothing', async (count) => {
  await using listening = await serve(
    { '/livez': { method: 'GET', answer: () => json(200, { ok: true }) } },
    { host: '127.0.0.1', port: 0 },
  )
  const { port } = listening
  const before = await silent(port, count)
  const begun = performance.now()
  for (let i = 0; i < 5; i += 1) expect((await fetch(`http://127.0.0.1:${port}/livez`)).status).toBe(200)
  expect(performance.now() - begun).toBeLessThan(1_000)
  expect(before.filter((socket) => !socket.destroyed).length).toBeLessThanOrEqual(256)
  for (const socket of before) socket.destroy()
})

it('an answer under way keeps its place, however many come', async () => {
  const { promise, resolve } = Promise.withResolvers<void>()
  const slow = async () => {
    await promise
    return json(200, { slow: true })
  }
  await using listening = await serve({ '/slow': { method: 'GET', answer: slow } }, { host: '127.0.0.1', port: 0 })
  const answer = fetch(`http://127.0.0.1:${listening.port}/slow`)
  await new Promise((done) => setTimeout(done, 100))
  const sockets = await silent(listening.port, 400)
  resolve()
  expect(await (await answer).json()).toEqual({ slow: true })
  for (const socket of sockets) socket.destroy()
})
