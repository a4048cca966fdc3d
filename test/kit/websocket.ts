import { once } from 'node:events'
import type { Socket } from 'node:net'
import { WebSocket } from 'ws'

export interface WebSocketOptions {
  readonly host: string
  readonly path?: string
  readonly headers?: Readonly<Record<string, string>>
}

export interface WebSocketClient extends Disposable {
  send(message: string | Uint8Array): void
  /** The next message, as text; `undefined` when the connection closed first. */
  next(): Promise<string | undefined>
  readonly closed: boolean
}

/** Upgrades an open socket, TLS or not, to a WebSocket (RFC 6455). Rejects when the answer is not a 101. */
export async function openWebSocket(
  socket: Socket,
  { host, path = '/ws', headers = {} }: WebSocketOptions,
): Promise<WebSocketClient> {
  const client = new WebSocket(`ws://${host}${path}`, { createConnection: () => socket, headers })
  const messages: string[] = []
  let wake = (): void => {}
  client.on('message', (data) => {
    messages.push((data as Buffer).toString())
    wake()
  })
  client.on('close', () => wake())
  await once(client, 'open')
  client.on('error', () => {})
  return {
    send: (message) => client.send(message),
    next: async () => {
      while (messages.length === 0 && client.readyState === WebSocket.OPEN) {
        const { promise, resolve } = Promise.withResolvers<void>()
        wake = resolve
        await promise
      }
      return messages.shift()
    },
    get closed() {
      return client.readyState !== WebSocket.OPEN
    },
    [Symbol.dispose]: () => client.terminate(),
  }
}
