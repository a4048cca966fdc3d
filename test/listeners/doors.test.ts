import { createSecureContext } from 'node:tls'
import { createServer } from 'node:net'
import { describe, expect, it } from 'vitest'
import { Doors } from '#listeners/doors.ts'
import { worldOf } from '../journey/parts.ts'
import { listen } from '../kit/listen.ts'
import { openTcp } from '../kit/raw.ts'
import { closed, open, stage, until } from './stage.ts'

const leaves = { contextFor: () => createSecureContext(), contextForDenied: () => undefined, present: () => undefined }

describe('the doors', () => {
  it('count what is open, by door', async () => {
    await using on = await stage()
    const sockets = [await open(on, 'http'), await open(on, 'absolute'), await open(on, 'absolute'), await open(on, 'https')]
    await until(() => on.doors.connections.proxy === 2)
    expect(on.doors.connections).toEqual({ http: 1, https: 1, proxy: 2 })
    for (const socket of sockets) socket.destroy()
    await until(() => on.doors.connections.proxy + on.doors.connections.http + on.doors.connections.https === 0)
  })

  it('of several threads take their part of what one would from an address, and close who comes after', async () => {
    const together = { threads: 2_048 }
    const doors = new Doors({ http: { address: '127.0.0.1', port: 0 } }, worldOf(undefined).ports, leaves, together)
    await doors.start()
    const sockets = await Promise.all(Array.from({ length: 3 }, () => openTcp({ port: doors.ports.http ?? 0 })))
    // 4,096 by one thread alone.
    await until(() => sockets.filter((socket) => socket.resume().readableEnded).length === 1)
    expect(doors.connections.http).toBe(2)
    doors.close()
    for (const socket of sockets) socket.destroy()
  })

  it('that are not named stay shut', async () => {
    const doors = new Doors({ http: { address: '127.0.0.1', port: 0 } }, worldOf(undefined).ports, leaves)
    await doors.start()
    expect(Object.keys(doors.ports)).toEqual(['http'])
    doors.close()
  })

  it('open together or not at all', async () => {
    const taken = createServer()
    const port = await listen(taken)
    const doors = new Doors(
      { http: { address: '127.0.0.1', port: 0 }, proxy: { address: '127.0.0.1', port } },
      worldOf(undefined).ports,
      leaves,
    )
    await expect(doors.start()).rejects.toMatchObject({ code: 'EADDRINUSE' })
    await expect(openTcp({ port: doors.ports.http ?? 0 })).rejects.toMatchObject({ code: 'ECONNREFUSED' })
    taken.close()
  })

  it('take nobody new while they drain, and close everything at the end', async () => {
    await using on = await stage()
    const socket = await open(on, 'http')
    await until(() => on.doors.connections.http === 1)
    on.doors.drain()
    await expect(openTcp({ port: on.ports.http })).rejects.toMatchObject({ code: 'ECONNREFUSED' })
    on.doors.close()
    await closed(socket.resume())
    await until(() => on.doors.connections.http === 0)
  })
})
