import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { EmbeddedLedger } from '#store/sqlite/ledger.ts'

export interface TestLedger extends AsyncDisposable {
  readonly folder: string
  readonly path: string
  readonly ledger: EmbeddedLedger
}

/** A real ledger in a folder of its own; gone again when disposed. */
export async function makeLedger(): Promise<TestLedger> {
  const folder = await mkdtemp(join(tmpdir(), 'ledger-'))
  const path = join(folder, 'state.db-ledger')
  const ledger = new EmbeddedLedger(path)
  return {
    folder,
    path,
    ledger,
    async [Symbol.asyncDispose]() {
      await ledger.close()
      await rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 })
    },
  }
}
