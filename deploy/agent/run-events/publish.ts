import { readFile } from 'node:fs/promises'
import { jetstream } from '@nats-io/jetstream'
import { connect, credsAuthenticator } from '@nats-io/transport-node'
import type { TimelineEvent } from '#timeline/run-event.ts'

/** Milliseconds: a hook waits for us, and the line is in the file already. */
const patience = 2_000

/** Publishes events in the form of the proxy's, each once (`Nats-Msg-Id`), to the stream that takes its subjects. */
export async function publish(
  events: readonly TimelineEvent[],
  { url, credentials }: { readonly url: string; readonly credentials: string | undefined },
): Promise<void> {
  const connection = await connect({
    servers: url,
    name: 'run events',
    timeout: patience,
    reconnect: false,
    ...(credentials && { authenticator: credsAuthenticator(await readFile(credentials)) }),
  })
  try {
    const stream = jetstream(connection, { timeout: patience })
    for (const event of events) {
      const subject = `swarm.events.run_${event.event}`
      const cloud = {
        specversion: '1.0',
        id: event.id,
        source: 'agent',
        type: subject,
        subject: event.agent,
        time: event.time,
        datacontenttype: 'application/json',
        data: event,
      }
      await stream.publish(subject, JSON.stringify(cloud), { msgID: event.id, timeout: patience })
    }
  } finally {
    await connection.close()
  }
}
