import { Writable } from 'node:stream'
import type { AuditRecord } from '#contracts/audit-record.ts'
import { entryText } from './entry.ts'

/** Takes lines of audit and writes them to a terminal as `iron-proxy logs` shows them; allowed DNS questions are left out. */
export function entryStream(out: Writable, colour: boolean): Writable {
  let rest = ''
  return new Writable({
    write(chunk: Buffer, _encoding, done) {
      const lines = (rest + chunk.toString('utf8')).split('\n')
      rest = lines.pop() ?? ''
      const records = lines.filter((text) => text !== '').map((text) => JSON.parse(text) as AuditRecord)
      const shown = records.filter(({ type, verdict }) => type !== 'dns' || verdict !== 'allow')
      if (shown.length === 0) done()
      else out.write(shown.map((record) => `${entryText(record, colour)}\n`).join(''), done)
    },
  })
}
