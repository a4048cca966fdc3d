import { readFile } from 'node:fs/promises'
import { Kvm } from '@nats-io/kv'
import type { KV } from '@nats-io/kv'
import { connect, credsAuthenticator } from '@nats-io/transport-node'
import type { NatsConnection } from '@nats-io/transport-node'
import { parseRecord } from './records.ts'
import type { CrewRecord, RecordStore } from './records.ts'

export interface KvPlace {
  readonly url: string
  readonly bucket: string
  /** File of NATS credentials. */
  readonly credentials?: string | undefined
}

/** Milliseconds for a connection, and for each answer. */
const patience = 5_000

/**
 * Records in a bucket of NATS JetStream, under `type.agent.id`; it is made with the first call. A connection is made when it is
 * needed and made anew when it broke: an agent that starts before NATS has a memory all the same.
 */
export function kvStore({ url, bucket, credentials }: KvPlace): RecordStore {
  let open: { readonly connection: NatsConnection; readonly kv: KV } | undefined

  async function opened(): Promise<KV> {
    if (open && !open.connection.isClosed()) return open.kv
    const connection = await connect({
      servers: url,
      name: 'crew memory',
      timeout: patience,
      reconnect: false,
      ...(credentials !== undefined && { authenticator: credsAuthenticator(await readFile(credentials)) }),
    })
    try {
      const kv = await new Kvm(connection).create(bucket, { history: 1, timeout: patience })
      open = { connection, kv }
      return kv
    } catch (error) {
      await connection.close()
      throw error
    }
  }

  return {
    async add(record) {
      const kv = await opened()
      await kv.create(keyOf(record.type, record.agent, record.id), JSON.stringify(record))
    },
    async read(type, agent) {
      const kv = await opened()
      const found: CrewRecord[] = []
      for await (const entry of await kv.history({ key: keyOf(type ?? '*', agent ?? '*', '*') })) {
        const record = entry.operation === 'PUT' ? parseRecord(entry.string()) : undefined
        if (record) found.push(record)
      }
      return found
    },
    async close() {
      await open?.connection.close()
    },
  }
}

/** A dot in a name would be another level of the key. */
function keyOf(type: string, agent: string, id: string): string {
  return `${type}.${agent.replaceAll('.', '=2e')}.${id}`
}
