import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { AckPolicy, jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import type { NatsConnection } from '@nats-io/transport-node'
import { freePorts } from './child.ts'

/** Whether this machine has a NATS server (Debian's nats-server); a test that needs one states this as the reason of its skip. */
export const hasNats = spawnSync('nats-server', ['--version']).status === 0

/** A NATS server with JetStream on loopback, with its files in a folder of its own. */
export interface Nats extends AsyncDisposable {
  readonly url: string
  /** Ends it as a crash does; its files stay. */
  kill(): Promise<void>
  /** Starts it again on the same port, over the same files. */
  restart(): Promise<void>
  connect(): Promise<NatsConnection>
  /** The messages of a stream, oldest first; empty while there is no such stream. */
  messages(stream: string): Promise<readonly NatsMessage[]>
}

export interface NatsMessage {
  readonly subject: string
  readonly id: string | undefined
  readonly body: Record<string, unknown>
}

export async function startNats(): Promise<Nats> {
  const folder = await mkdtemp(join(tmpdir(), 'nats-'))
  const [port = 0] = await freePorts(1)
  const url = `nats://127.0.0.1:${port}`
  let stop = await start(port, folder)
  const dial = () => connect({ servers: url, reconnect: false, timeout: 5_000 })
  return {
    url,
    kill: () => stop(),
    restart: async () => {
      stop = await start(port, folder)
    },
    connect: dial,
    messages: async (stream) => {
      const connection = await dial()
      try {
        return await read(connection, stream)
      } finally {
        await connection.close()
      }
    },
    [Symbol.asyncDispose]: async () => {
      await stop()
      await rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 })
    },
  }
}

/** Resolves when it takes connections, with how to end it. */
async function start(port: number, folder: string): Promise<() => Promise<void>> {
  const child = spawn('nats-server', ['-a', '127.0.0.1', '-p', String(port), '-js', '-sd', folder], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const closed = once(child, 'close')
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text
    if (said.includes('Server is ready')) resolve()
  })
  child.once('close', () => reject(new Error(`nats-server ended: ${said}`)))
  child.once('error', reject)
  await promise
  return async () => {
    child.kill('SIGKILL')
    await closed
  }
}

async function read(connection: NatsConnection, stream: string): Promise<readonly NatsMessage[]> {
  const manager = await jetstreamManager(connection)
  const count = await manager.streams.info(stream).then(
    ({ state }) => state.messages,
    () => 0,
  )
  if (count === 0) return []
  const { name } = await manager.consumers.add(stream, { ack_policy: AckPolicy.None, inactive_threshold: 10e9 })
  const consumer = await jetstream(connection).consumers.get(stream, name)
  const found: NatsMessage[] = []
  for await (const message of await consumer.fetch({ max_messages: count, expires: 5_000 })) {
    const id = message.headers?.get('Nats-Msg-Id')
    found.push({ subject: message.subject, id: id === '' ? undefined : id, body: message.json() })
  }
  return found
}
