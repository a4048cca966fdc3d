/** The doors inside a sandbox: the usual ports of its loopback, each led to the socket of the relay. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { framed, framesIn } from './names.ts'
import { socketPath } from './relay.ts'
import type { DoorName } from './relay.ts'
import { bind, join } from './tunnel.ts'

/** The explicit door is where the proxy has it by default. */
export const ports: Readonly<Record<DoorName, number>> = { https: 443, http: 80, proxy: 8080, dns: 53 }

/** Milliseconds until a question must be answered. */
const patience = 10_000

/** Any address of loopback: the proxy may answer DNS with another one than 127.0.0.1. */
const everywhere = '0.0.0.0'

/** Opens all doors. Rejects with the error of `listen`. They stay open as long as the process. */
export async function openDoors(directory: string): Promise<void> {
  const servers = Object.entries(ports).map(([name, port]) => {
    const path = socketPath(directory, name as DoorName)
    const server = createServer({ allowHalfOpen: true }, (client) => {
      const relay = connect({ path, allowHalfOpen: true })
      bind(client, relay)
      join(client, relay)
    })
    return server.listen(port, everywhere)
  })
  const udp = createSocket('udp4')
  udp.on('message', (message, { address, port }) => {
    const relay = connect(socketPath(directory, 'dns'))
    relay.setTimeout(patience, () => relay.destroy())
    relay.on('error', () => relay.destroy())
    framesIn(relay, (reply) => {
      udp.send(reply, port, address)
      relay.destroy()
    })
    relay.write(framed(message))
  })
  udp.bind(ports.dns, everywhere)
  await Promise.all([...servers, udp].map((each) => once(each, 'listening')))
}
