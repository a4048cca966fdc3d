import { connect, createServer } from 'node:net'
import type { Socket } from 'node:net'
import { closer, listen } from './listen.ts'
import type { Started } from './listen.ts'

/** A way between two, which can be made slow, or lead elsewhere. */
export interface Relay extends Started {
  /** Milliseconds that bytes take in each direction. */
  delay: number
  /** Where new connections lead; those that are open are cut. */
  turnTo(port: number): void
}

/** Relays TCP on loopback to a port. */
export async function startRelay(port: number): Promise<Relay> {
  let target = port
  const open = new Set<Socket>()
  const server = createServer((down) => {
    const up = connect(target, '127.0.0.1')
    for (const [one, other] of [
      [down, up],
      [up, down],
    ] as const) {
      open.add(one)
      one.on('error', () => other.destroy())
      one.on('close', () => {
        open.delete(one)
        other.destroy()
      })
      one.on('data', (bytes) => {
        if (relay.delay === 0) other.write(bytes)
        else setTimeout(() => other.destroyed || other.write(bytes), relay.delay)
      })
    }
  })
  const close = closer(server)
  const relay: Relay = {
    port: await listen(server),
    delay: 0,
    turnTo(next) {
      target = next
      for (const socket of open) socket.destroy()
    },
    [Symbol.asyncDispose]: async () => {
      for (const socket of open) socket.destroy()
      await close()
    },
  }
  return relay
}
