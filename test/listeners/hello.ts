import { once } from 'node:events'
import { createServer } from 'node:net'
import type { Socket } from 'node:net'
import { connect } from 'node:tls'
import type { ConnectionOptions } from 'node:tls'
import { readClientHello } from '#listeners/client-hello.ts'
import { listen } from '../kit/listen.ts'

/** The ClientHello that Node’s TLS client sends with these options, as it came over a socket. */
export async function recorded(options: ConnectionOptions): Promise<Buffer> {
  const server = createServer()
  const port = await listen(server)
  const client = connect({ host: '127.0.0.1', port, ...options })
  client.on('error', () => {})
  const [socket] = (await once(server, 'connection')) as [Socket]
  socket.on('error', () => {})
  let bytes: Buffer = Buffer.alloc(0)
  for await (const chunk of socket) {
    bytes = Buffer.concat([bytes, chunk as Buffer])
    if (readClientHello(bytes).kind !== 'more') break
  }
  client.destroy()
  server.close()
  return bytes
}
