import { existsSync } from 'node:fs'
import { createAuthority } from './authority.ts'
import { writeAuthority } from './files.ts'
import type { loadAuthority } from './files.ts'
import { loadTrust, type Trust } from './trust.ts'

const first = { commonName: 'iron-proxy CA', days: 3650 } as const

/** The CA of these files; on the very first run, when neither is there, it is made. Throws what loading throws. */
export async function firstTrust(paths: Parameters<typeof loadAuthority>[0], made: () => void): Promise<Trust> {
  if (!existsSync(paths.certPath) && !existsSync(paths.keyPath)) {
    await writeAuthority(createAuthority({ ...first, now: paths.now }), paths)
    made()
  }
  return loadTrust(paths)
}
