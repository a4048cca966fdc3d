import { connect, isSingle, readQuietly } from './client.ts'
import type { ClientOptions } from './client.ts'

/**
 * Listens to a channel, on a connection of its own as Redis wants it. Told of each message, and whenever some may have been missed.
 * What keeps it from hearing is not told: who listens looks by itself from time to time. The returned function ends it.
 */
export function listen(options: ClientOptions, channel: string, heard: () => void): () => void {
  const client = connect(options, () => {
    if (options.password && isSingle(client)) client.options.password = readQuietly(options.password)
  })
  client.on('error', () => {})
  client.on('message', heard)
  client.on('ready', () => void client.subscribe(channel).then(heard, () => {}))
  void client.connect().catch(() => {})
  return () => client.disconnect()
}
