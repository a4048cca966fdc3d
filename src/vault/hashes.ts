import { createHash, createHmac } from 'node:crypto'
import type { Hashes } from '#credentials/types.ts'

/** What kinds that sign need of the platform. */
export const hashes: Hashes = {
  sha256: (data) => createHash('sha256').update(data).digest(),
  hmacSha256: (key, data) => createHmac('sha256', key).update(data).digest(),
}
