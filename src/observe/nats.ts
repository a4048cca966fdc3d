import { readFile } from 'node:fs/promises'
import { checkServerIdentity, type ConnectionOptions } from 'node:tls'
import type { JetStreamClient } from '@nats-io/jetstream'
import type { NatsConnection, TlsOptions } from '@nats-io/transport-node'
import { withoutCommonName } from '#base/certificate-name.ts'
import { eventOf } from './nats-event.ts'
import type { Sink } from './sinks.ts'

export interface NatsOptions {
  readonly url: string
  /** What subjects begin with. */
  readonly subject: string
  /** The stream that is made where none takes these subjects. */
  readonly stream: string
  /** File of NATS credentials: a JWT and its key. */
  readonly credentials?: string | undefined
}

/** Milliseconds for a connection, and for the acknowledgement of what was published. */
const patience = 2_000

/** Of a stream that is made here: a week and a gigabyte, in nanoseconds and bytes; what was sent twice in ten minutes is kept once. */
const kept = { max_age: 7 * 86_400e9, max_bytes: 1_073_741_824, duplicate_window: 600e9 } as const

/**
 * Publishes audit lines to NATS JetStream. A line is taken once the stream has acknowledged it; what is sent anew after trouble
 * has the same id, and is kept once. A connection that breaks is not mended but made anew with the next lines, so that nothing
 * waits in a client's own queue.
 */
export function natsSink(options: NatsOptions): Sink {
  let open: { readonly connection: NatsConnection; readonly stream: JetStreamClient } | undefined

  const close = async (): Promise<void> => {
    const closing = open
    open = undefined
    await closing?.connection.close()
  }

  const client = async (): Promise<JetStreamClient> => {
    if (open && !open.connection.isClosed()) return open.stream
    const connection = await connect(options)
    try {
      open = { connection, stream: await streamOn(connection, options) }
      return open.stream
    } catch (error) {
      await connection.close()
      throw error
    }
  }

  return {
    async write(bytes) {
      const stream = await client()
      const lines = bytes.toString('latin1').split('\n').slice(0, -1)
      const sent = await Promise.allSettled(
        lines.map(async (line) => {
          const { subject, id, payload } = eventOf(line, options.subject)
          await stream.publish(subject, payload, { msgID: id, timeout: patience })
        }),
      )
      const failed = sent.findIndex(({ status }) => status === 'rejected')
      if (failed < 0) return bytes.length
      await close().catch(() => {})
      if (failed === 0) throw (sent[0] as PromiseRejectedResult).reason
      return lines.slice(0, failed).reduce((size, line) => size + line.length + 1, 0)
    },
    async sync() {},
    async reopen() {},
    close,
  }
}

/** The client hands on to Node what it does not know itself. */
const tls: TlsOptions & Pick<ConnectionOptions, 'checkServerIdentity'> = {
  checkServerIdentity: (host, certificate) => checkServerIdentity(host, withoutCommonName(certificate)),
}

/** Loaded with the first record: most proxies have no NATS. A connection that breaks is not made anew. */
export async function connect({ url, credentials }: Pick<NatsOptions, 'url' | 'credentials'>): Promise<NatsConnection> {
  const { connect: dial, credsAuthenticator } = await import('@nats-io/transport-node')
  return dial({
    servers: url,
    name: 'iron-proxy',
    timeout: patience,
    reconnect: false,
    // Without it the client would take a server that offers no TLS for `tls://` too.
    ...(url.startsWith('tls:') && { tls }),
    ...(credentials !== undefined && { authenticator: credsAuthenticator(await readFile(credentials)) }),
  })
}

async function streamOn(connection: NatsConnection, { subject, stream }: NatsOptions): Promise<JetStreamClient> {
  const { jetstream, jetstreamManager } = await import('@nats-io/jetstream')
  const manager = await jetstreamManager(connection, { timeout: patience })
  const subjects = [`${subject}.*`]
  const found = await manager.streams.find(`${subject}.egress_request`).catch(() => undefined)
  if (found === undefined) await manager.streams.add({ name: stream, subjects, ...kept })
  return jetstream(connection, { timeout: patience })
}
