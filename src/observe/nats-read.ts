import type { NatsOptions } from './nats.ts'
import { connect } from './nats.ts'

/** Milliseconds without a message, after which the stream is taken for broken. */
const patience = 10_000

/** Every event that the stream holds now, oldest first, one line each. Throws what the client throws. */
export async function* readNats(options: NatsOptions): AsyncGenerator<Uint8Array> {
  const connection = await connect(options)
  try {
    const { jetstream, jetstreamManager } = await import('@nats-io/jetstream')
    const manager = await jetstreamManager(connection)
    const stream = await manager.streams.find(`${options.subject}.egress_request`).catch(() => options.stream)
    // An ordered consumer: nothing is acknowledged, and nothing of it stays on the server.
    const consumer = await jetstream(connection).consumers.get(stream, {})
    if ((await consumer.info()).num_pending === 0) return
    const messages = await consumer.consume({ idle_heartbeat: patience / 2 })
    for await (const message of messages) {
      // By hand: servers before 2.10 filter by one subject only.
      if (message.subject.startsWith(`${options.subject}.`)) yield Buffer.concat([message.data, lineEnd])
      if (message.info.pending === 0) return
    }
  } finally {
    await connection.close()
  }
}

const lineEnd = Buffer.from('\n')
