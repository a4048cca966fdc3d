/** The events of a crew out of NATS JetStream: what the proxy and the hooks of its agents published. */
import { readFile } from 'node:fs/promises'
import type { Settings } from '#config/settings-schema.ts'
import { exit, CommandFailure } from '../command.ts'

/** Milliseconds for a connection and for each answer. */
const patience = 5_000

/** Hands over the payload of each event that the stream holds, oldest first. Throws `Failure`. */
export async function eachEvent({ audit: { nats } }: Settings, take: (line: string) => void): Promise<void> {
  const { url, subject, credentials } = nats
  if (url === undefined) throw new CommandFailure('audit.nats.url is not set: there is no NATS to read', exit.config)
  const { connect, credsAuthenticator } = await import('@nats-io/transport-node')
  const { jetstream, jetstreamManager } = await import('@nats-io/jetstream')
  try {
    const connection = await connect({
      servers: url,
      name: 'iron-proxy runs',
      timeout: patience,
      reconnect: false,
      ...(url.startsWith('tls:') && { tls: {} }),
      ...(credentials !== undefined && { authenticator: credsAuthenticator(await readFile(credentials)) }),
    })
    try {
      const manager = await jetstreamManager(connection, { timeout: patience })
      const stream = await manager.streams.find(`${subject}.egress_request`)
      const consumer = await jetstream(connection, { timeout: patience }).consumers.get(stream)
      let left = (await consumer.info()).num_pending
      while (left > 0) {
        const batch = await consumer.fetch({ max_messages: Math.min(left, 10_000), expires: patience })
        let taken = 0
        for await (const message of batch) {
          take(message.string())
          taken += 1
        }
        if (taken === 0) break
        left -= taken
      }
    } finally {
      await connection.close()
    }
  } catch (error) {
    throw new CommandFailure(`${url}: the events cannot be read: ${(error as Error).message}`, exit.unavailable)
  }
}
