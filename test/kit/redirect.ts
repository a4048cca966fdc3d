import { connect, createServer, type Socket } from 'node:net'
import { closer, listen, type Started } from './listen.ts'
import { atLeast, wire } from './wire.ts'

/** Well-known port → the door that answers in its place. */
export type Redirects = Readonly<Record<number, number>>

/**
 * Starts a SOCKS5 server (RFC 1928) that leads every name to loopback, by port. It stands in for what a cluster does
 * with DNS and a Service: the client dials `name:443`, writes its usual bytes, and arrives at the transparent door.
 */
export async function startRedirect(ports: Redirects): Promise<Started> {
  const server = createServer((socket) => {
    serve(socket, ports).catch(() => socket.destroy())
  })
  const close = closer(server)
  return { port: await listen(server), [Symbol.asyncDispose]: close }
}

async function serve(socket: Socket, ports: Redirects): Promise<void> {
  const client = wire(socket)
  await client.read((bytes) => bytes.length >= 2 && bytes.length >= 2 + (bytes[1] ?? 0))
  client.forget()
  client.write(Buffer.from([5, 0])) // no authentication
  await client.read(atLeast(5))
  const { bytes } = await client.read((received) => received.length >= requestLength(received))
  const port = ports[bytes.readUInt16BE(requestLength(bytes) - 2)]
  if (port === undefined) return void socket.end(Buffer.from([5, 2, 0, 1, 0, 0, 0, 0, 0, 0])) // not allowed
  const door = connect({ host: '127.0.0.1', port, noDelay: true })
  door.on('error', () => socket.destroy())
  socket.on('close', () => door.destroy())
  client.write(Buffer.from([5, 0, 0, 1, 127, 0, 0, 1, 0, 0]))
  // A client waits for the reply before it speaks, so nothing is lost between reader and pipe.
  socket.removeAllListeners('data')
  socket.pipe(door)
  door.pipe(socket)
}

/** Version, command, reserved, address type, address, port: only names and IPv4 are asked for here. */
function requestLength(bytes: Buffer): number {
  return bytes[3] === 3 ? 4 + 1 + (bytes[4] ?? 0) + 2 : 4 + 4 + 2
}

/** Lines for the top of a Node program that lead its connections to loopback, by port. */
export function nodeRedirect(ports: Redirects): string {
  return `
import net from 'node:net'
const doors = ${JSON.stringify(ports)}
const dial = net.Socket.prototype.connect
net.Socket.prototype.connect = function (...given) {
  // Either options, or the list [options, callback] that net makes of all its spellings.
  const options = Array.isArray(given[0]) ? given[0][0] : given[0]
  if (options.port in doors) Object.assign(options, { host: '127.0.0.1', port: doors[options.port] })
  return dial.apply(this, given)
}
`
}

/** The same for Python: whatever is looked up is found on loopback, at the door. */
export function pythonRedirect(ports: Redirects): string {
  return `
import socket
doors = {${Object.entries(ports)
    .map(([from, to]) => `${from}: ${to}`)
    .join(', ')}}
def getaddrinfo(host, port, *rest, **named):
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, '', ('127.0.0.1', doors[int(port)]))]
socket.getaddrinfo = getaddrinfo
`
}
