/** A connection of the sandbox becomes a tunnel through the explicit door, under the name and password of its run. */
import { connect } from 'node:net'
import type { Socket } from 'node:net'

export interface SandboxDoor {
  readonly address: string
  readonly port: number
}

export interface ProxyDoor extends SandboxDoor {
  /** Where we dial from, an address of the agent; `undefined`: the system chooses. */
  readonly from: string | undefined
  readonly username: string
  readonly password: string
}

/** Milliseconds until a client must have said what it wants. */
const patience = 10_000

/** Bytes of a request head, or of a ClientHello with what is around it. */
export const longestOpening = 64 * 1024

/**
 * Reads from a client until `judge` has seen enough, and gives back what was read with the judgement. `undefined`: the client ended, took
 * too long, or sent more than an opening has. Nothing more is read then until someone listens.
 */
export function readOpening<Judged>(
  client: Socket,
  judge: (bytes: Buffer) => Judged | undefined,
): Promise<{ readonly bytes: Buffer; readonly judged: Judged } | undefined> {
  return new Promise((resolve) => {
    let bytes = Buffer.alloc(0)
    const end = (result: { readonly bytes: Buffer; readonly judged: Judged } | undefined) => {
      client.off('data', take).off('close', none).off('end', none)
      client.setTimeout(0).off('timeout', none)
      client.pause()
      resolve(result)
    }
    const none = () => end(undefined)
    const take = (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk])
      const judged = judge(bytes)
      if (judged !== undefined) end({ bytes, judged })
      else if (bytes.length > longestOpening) none()
    }
    client.setTimeout(patience).on('timeout', none).on('data', take).once('end', none).once('close', none)
  })
}

/** The value of `Proxy-Authorization` (RFC 7617). */
export function proxyAuthorization({ username, password }: Pick<ProxyDoor, 'username' | 'password'>): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}

/**
 * Opens a tunnel to `authority` and joins the client to it, `opening` first. What the proxy answers in place of a tunnel goes to the
 * client as it is if that speaks HTTP, and closes the connection otherwise.
 */
export function tunnel(client: Socket, authority: string, opening: Buffer, door: ProxyDoor, speaks: 'http' | 'tls'): void {
  const server = dial(door)
  bind(client, server)
  server.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\nProxy-Authorization: ${proxyAuthorization(door)}\r\n\r\n`)
  void readOpening(server, headEnd).then((reply) => {
    const opened = reply !== undefined && reply.bytes.toString('latin1', 0, 16).startsWith('HTTP/1.1 200 ')
    if (!reply || (!opened && speaks === 'tls')) return client.destroy()
    if (opened) server.write(opening)
    const rest = opened ? reply.bytes.subarray(reply.judged) : reply.bytes
    if (rest.length > 0) client.write(rest)
    return join(client, server)
  })
}

/** Offset behind the empty line that ends a head; `undefined`: it is not there yet. */
export function headEnd(bytes: Buffer): number | undefined {
  const at = bytes.indexOf('\r\n\r\n')
  return at < 0 ? undefined : at + 4
}

export function dial({ address, port, from }: SandboxDoor & { readonly from?: string | undefined }): Socket {
  return connect({ host: address, port, noDelay: true, ...(from !== undefined && { localAddress: from }) })
}

/** Either end takes the other with it. */
export function bind(one: Socket, other: Socket): void {
  for (const [each, partner] of [
    [one, other],
    [other, one],
  ] as const) {
    each.on('error', () => partner.destroy())
    each.on('close', () => partner.destroySoon())
  }
}

/** Passes bytes both ways, ends included. */
export function join(one: Socket, other: Socket): void {
  one.pipe(other)
  other.pipe(one)
}
