import { describe, expect, it } from 'vitest'
import { openH2, openTls } from '../kit/raw.ts'
import { authority, stage } from './stage.ts'
import type { Stage } from './stage.ts'

/** Resets streams in the breath that begins them, up to so many. */
async function flood(on: Stage, streams: number): Promise<'refused' | 'ended' | 'open'> {
  const socket = await openTls({ port: on.ports.https, servername: 'good.test', ca: authority.certPem, alpn: ['h2'] }).catch(
    () => undefined,
  )
  if (!socket) return 'refused'
  const session = await openH2(socket)
  session.on('error', () => {})
  const closed = new Promise<'ended'>((resolve) => session.once('close', () => resolve('ended')))
  for (let sent = 0; sent < streams && !session.destroyed; sent += 1) {
    const stream = session.request({ ':path': '/', ':authority': 'good.test' })
    stream.on('error', () => {})
    stream.close(8)
    if (sent % 100 === 99) await new Promise((resolve) => setTimeout(resolve, 5))
  }
  const how = await Promise.race([closed, new Promise<'open'>((resolve) => setTimeout(() => resolve('open'), 300))])
  session.destroy()
  return how
}

describe('rapid resets', () => {
  it('of one address end in all its sessions together, with one record more and not one for each', async () => {
    await using on = await stage()
    const ways: string[] = []
    for (let i = 0; i < 8; i += 1) ways.push(await flood(on, 600))
    expect(ways[0]).toBe('open')
    expect(ways).toContain('ended')
    expect(ways.at(-1)).toBe('refused')
    const floods = on.world.records.filter(({ code }) => code === 'overloaded')
    expect(floods).toHaveLength(1)
    expect(on.world.records.length).toBeLessThan(2_000)
  })
})
