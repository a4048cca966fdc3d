import { createServer } from 'node:http'
import { text } from 'node:stream/consumers'
import { describe, expect, it } from 'vitest'
import { Webhook } from '#observe/webhook.ts'
import { closer, listen } from '../kit/listen.ts'
import { within } from '../kit/within.ts'

/** A receiver that answers with these statuses, then 200. */
async function receiver(...statuses: number[]) {
  const bodies: string[] = []
  const server = createServer((request, response) => {
    void text(request).then((body) => {
      const status = statuses.shift() ?? 200
      if (status === 200) bodies.push(body)
      response.writeHead(status, { location: 'http://127.0.0.1:1/' }).end()
    })
  })
  const close = closer(server)
  const port = await listen(server)
  return { url: `http://127.0.0.1:${port}/alerts?token=t`, bodies, [Symbol.asyncDispose]: close }
}

describe('a webhook', () => {
  it('is told everything, in order', async () => {
    await using to = await receiver()
    const failures: string[] = []
    const webhook = new Webhook(to.url, (detail) => failures.push(detail))
    for (let i = 0; i < 5; i += 1) webhook.send({ i })
    expect(await within(() => to.bodies.length === 5)).toBeDefined()
    expect(to.bodies).toEqual([0, 1, 2, 3, 4].map((i) => `{"i":${i}}`))
    expect(failures).toEqual([])
    await webhook.close()
  })

  it('is told again after a failure', async () => {
    await using to = await receiver(503)
    const webhook = new Webhook(to.url, () => {})
    webhook.send({ x: 1 })
    expect(await within(() => to.bodies.length === 1)).toBeDefined()
    await webhook.close()
  })

  it('that cannot be reached keeps nobody waiting when the proxy stops, and its address is told to nobody', async () => {
    const failures: string[] = []
    const webhook = new Webhook('http://127.0.0.1:1/?token=secret-of-the-receiver', (detail) => failures.push(detail))
    webhook.send({ x: 1 })
    await webhook.close()
    expect(await within(() => failures.length === 1)).toBeDefined()
    expect(failures[0]).toMatch(/^the receiver cannot be reached: /)
    expect(failures.join()).not.toContain('secret-of-the-receiver')
  })

  it('drops the oldest when too many are waiting', async () => {
    const failures: string[] = []
    const webhook = new Webhook('http://127.0.0.1:1/', (detail) => failures.push(detail))
    for (let i = 0; i < 110; i += 1) webhook.send({ i })
    expect(failures).toContain('too many alerts are waiting; the oldest was dropped')
    await webhook.close()
  })
})
