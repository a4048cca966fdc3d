import { readFileSync, statSync } from 'node:fs'
import { ProxyError } from '#base/errors.ts'
import type { Source } from './source.ts'

/** Bytes: no credential is this long, and a device has no end. */
const largest = 1024 * 1024

/** Files: mounted Secrets, or anything an operator keeps mode 0600. A new content is a new value. */
export const file: Source = {
  owns: (ref) => 'file' in ref,
  read(ref) {
    if (!('file' in ref)) return ''
    const about = statSync(ref.file)
    if (!about.isFile() || about.size > largest)
      throw new ProxyError('credential_unavailable', 'this is not a file that holds a credential')
    return readFileSync(ref.file, 'utf8')
  },
  path: (ref) => ('file' in ref ? ref.file : undefined),
}
