import { appendFile, mkdir, readFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { parseRecord } from './records.ts'
import type { RecordStore } from './records.ts'

/**
 * Records as lines of one file, for an agent without NATS. A line is written in one piece at the end of the file, so that agents
 * of one machine may share it.
 */
export function fileStore(path: string): RecordStore {
  return {
    async add(record) {
      await mkdir(dirname(path), { recursive: true })
      await appendFile(path, `${JSON.stringify(record)}\n`, { mode: 0o600, flush: true })
    },
    async read(type, agent) {
      const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return ''
        throw error
      })
      return text
        .split('\n')
        .flatMap((line) => parseRecord(line) ?? [])
        .filter((record) => (type === undefined || record.type === type) && (agent === undefined || record.agent === agent))
    },
    async close() {},
  }
}
