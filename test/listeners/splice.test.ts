import { once } from 'node:events'
import { createServer } from 'node:net'
import type { Socket } from 'node:net'
import { describe, expect, it } from 'vitest'
import { splice } from '#listeners/splice.ts'
import { listen } from '../kit/listen.ts'
import { openTcp } from '../kit/raw.ts'

/** Two connections with a relay between their far ends. */
async function relayed(): Promise<{
  agent: Socket
  host: Socket
  done: ReturnType<typeof splice>
  stop: () => void
  [Symbol.dispose](): void
}> {
  const server = createServer({ allowHalfOpen: true })
  const port = await listen(server)
  const pair = async (): Promise<[Socket, Socket]> => {
    const accepted = once(server, 'connection') as Promise<[Socket]>
    const outer = await openTcp({ port })
    const [inner] = await accepted
    inner.on('error', () => {})
    return [outer, inner]
  }
  const [agent, near] = await pair()
  const [host, far] = await pair()
  const controller = new AbortController()
  const done = splice(near, far, controller.signal)
  return { agent, host, done, stop: () => controller.abort(), [Symbol.dispose]: () => void server.close() }
}

describe('a relay', () => {
  it('keeps the other half open when one side is done, and counts both ways', async () => {
    using on = await relayed()
    on.host.allowHalfOpen = true
    on.agent.end('question')
    let heard = ''
    on.host.on('data', (chunk: Buffer) => (heard += chunk.toString()))
    await once(on.host, 'end')
    expect(heard).toBe('question')
    on.host.end('the answer')
    const [chunk] = (await once(on.agent, 'data')) as [Buffer]
    expect(chunk.toString()).toBe('the answer')
    expect(await on.done).toEqual({ bytesUp: 8, bytesDown: 10 })
  })

  it('ends both sides when one breaks', async () => {
    using on = await relayed()
    on.agent.write('x')
    await once(on.host, 'data')
    on.agent.resetAndDestroy()
    await on.done
    await once(on.host.resume(), 'close')
  })

  it('ends both sides when it is cut', async () => {
    using on = await relayed()
    on.stop()
    await on.done
    await Promise.all([once(on.agent.resume(), 'close'), once(on.host.resume(), 'close')])
  })
})
