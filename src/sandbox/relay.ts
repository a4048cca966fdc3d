/** The outer ends of the doors of one sandbox: unix sockets that lead to the proxy, and nowhere else. */
import { createServer } from 'node:net'
import type { Server, Socket } from 'node:net'
import { once } from 'node:events'
import { join as joinPath } from 'node:path'
import { parseAuthority, parseHost } from '#base/host.ts'
import { HelloReader } from '#listeners/client-hello.ts'
import { answerLocally, framesIn } from './names.ts'
import { bind, dial, headEnd, join, proxyAuthorization, readOpening, tunnel } from './tunnel.ts'
import type { SandboxDoor, ProxyDoor } from './tunnel.ts'

/** Of a sandbox: inside each is a port, here each is a socket of this name. */
export const doorNames = ['https', 'http', 'proxy', 'dns'] as const
export type DoorName = (typeof doorNames)[number]

export interface RelayOptions {
  /** Of the sockets; nobody but us may enter it. */
  readonly directory: string
  readonly proxy: ProxyDoor
  /** DNS of the proxy over TCP, where it knows the agent by the address we dial from; `undefined`: every name is answered here. */
  readonly dns: SandboxDoor | undefined
}

/** Serves until disposed. */
export async function startRelay({ directory, proxy, dns }: RelayOptions): Promise<AsyncDisposable> {
  const sockets = new Set<Socket>()
  const serve: Readonly<Record<DoorName, (client: Socket) => void>> = {
    https: (client) => void relayTls(client, proxy),
    http: (client) => void relayHttp(client, proxy),
    proxy: (client) => void relayExplicit(client, proxy),
    dns: (client) => relayDns(client, proxy, dns),
  }
  const servers = doorNames.map((name) => {
    const server = createServer({ allowHalfOpen: true }, (client) => {
      sockets.add(client)
      client.on('error', () => client.destroy()).once('close', () => sockets.delete(client))
      serve[name](client)
    })
    server.listen(socketPath(directory, name))
    return server
  })
  await Promise.all(servers.map((server) => once(server, 'listening')))
  return {
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await Promise.all(servers.map(closed))
    },
  }
}

export function socketPath(directory: string, name: DoorName): string {
  return joinPath(directory, `${name}.sock`)
}

async function closed(server: Server): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  server.close(() => resolve())
  await promise
}

/** Port 443: the ClientHello names the host. Without a name there is nowhere to go. */
async function relayTls(client: Socket, proxy: ProxyDoor): Promise<void> {
  const reader = new HelloReader()
  const opening = await readOpening(client, (bytes) => {
    const hello = reader.read(bytes)
    return hello.kind === 'more' ? undefined : hello
  })
  const name = opening?.judged.kind === 'hello' ? opening.judged.serverName : undefined
  const host = name === undefined ? undefined : parseHost(name)
  if (!opening || host === undefined) client.destroy()
  else tunnel(client, `${host}:443`, opening.bytes, proxy, 'tls')
}

/** Port 80: the Host field names it. */
async function relayHttp(client: Socket, proxy: ProxyDoor): Promise<void> {
  const opening = await readOpening(client, headEnd)
  const head = opening?.bytes.toString('latin1', 0, opening.judged) ?? ''
  const authority = parseAuthority(/\r\nhost:[ \t]*([^\r\n]*?)[ \t]*\r\n/i.exec(head)?.[1] ?? '')
  if (opening && authority) tunnel(client, `${authority.host}:${authority.port ?? 80}`, opening.bytes, proxy, 'http')
  else client.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n')
}

/**
 * The explicit door: the run's name and password are added here, so that the sandbox holds neither. A request that is no CONNECT is
 * the only one of its connection, since a second would go without them.
 */
async function relayExplicit(client: Socket, proxy: ProxyDoor): Promise<void> {
  const opening = await readOpening(client, headEnd)
  if (!opening) return void client.destroy()
  const head = opening.bytes.toString('latin1', 0, opening.judged)
  const lines = head.split('\r\n')
  const kept = lines.slice(1, -2).filter((line) => !/^(?:proxy-authorization|proxy-connection|connection)[ \t]*:/i.test(line))
  const own = [`Proxy-Authorization: ${proxyAuthorization(proxy)}`, ...(head.startsWith('CONNECT ') ? [] : ['Connection: close'])]
  const server = dial(proxy)
  bind(client, server)
  server.write(Buffer.from([lines[0], ...own, ...kept, '', ''].join('\r\n'), 'latin1'))
  server.write(opening.bytes.subarray(opening.judged))
  join(client, server)
}

/** DNS over a stream (RFC 7766): to the proxy as it is, or answered here with our address. */
function relayDns(client: Socket, { from }: ProxyDoor, dns: SandboxDoor | undefined): void {
  if (dns) {
    const server = dial({ ...dns, from })
    bind(client, server)
    return join(client, server)
  }
  framesIn(client, (message) => {
    const reply = answerLocally(message)
    if (reply) client.write(reply)
  })
}
