import { readFileSync } from 'node:fs'
import type { Source } from './source.ts'

/** Files: mounted Secrets, or anything an operator keeps mode 0600. A new content is a new value. */
export const file: Source = {
  owns: (ref) => 'file' in ref,
  read: (ref) => ('file' in ref ? readFileSync(ref.file, 'utf8') : ''),
  path: (ref) => ('file' in ref ? ref.file : undefined),
}
