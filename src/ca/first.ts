import { existsSync } from 'node:fs'
import { createAuthority } from './authority.ts'
import type { Authority } from './authority.ts'
import { loadAuthority, writeAuthority } from './files.ts'

const first = { commonName: 'iron-proxy CA', days: 3650 } as const

/** The CA of these files; on the very first run, when neither is there, it is made. Throws what loading throws. */
export async function firstAuthority(paths: Parameters<typeof loadAuthority>[0], made: () => void): Promise<Authority> {
  if (!existsSync(paths.certPath) && !existsSync(paths.keyPath)) {
    await writeAuthority(createAuthority({ ...first, now: paths.now }), paths)
    made()
  }
  return loadAuthority(paths)
}
