/** Where records come from: the audit file, or the running proxy. Each gives lines of JSON, oldest first. */
import { open, stat } from 'node:fs/promises'
import type { Settings } from '#config/settings-schema.ts'
import { toldByAdmin } from '../admin.ts'

/** Hands over the lines that were written since it was asked last; the first time all it has. */
export type LogLines = () => Promise<readonly string[]>

/** Bytes of a file that are read at once, from its end the first time. */
const mostBytes = 16 * 1024 * 1024

/** Follows a file by its name: one that was rotated away is read to its end by its successor's first line. */
export function linesOfFile(file: string): LogLines {
  let at: { readonly ino: number; offset: number } | undefined
  let rest = ''
  return async () => {
    const { ino, size } = await stat(file)
    if (!at || at.ino !== ino || size < at.offset) {
      at = { ino, offset: Math.max(0, size - mostBytes) }
      rest = ''
    }
    await using handle = await open(file)
    const buffer = Buffer.alloc(Math.min(size - at.offset, mostBytes))
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, at.offset)
    at.offset += bytesRead
    const lines = (rest + buffer.toString('utf8', 0, bytesRead)).split('\n')
    // The last line may still be on its way.
    rest = lines.pop() ?? ''
    return lines
  }
}

/** Asks the running proxy for what followed the last record that it gave. */
export function linesOfProxy(settings: Settings): LogLines {
  let last = ''
  return async () => {
    const answer = String(
      await toldByAdmin(settings, 'GET', `/v1/log${last && `?after=${encodeURIComponent(last)}`}`, undefined, 'text'),
    )
    const lines = answer.split('\n').filter((line) => line !== '')
    const id = /"id":"([^"]*)"/.exec(lines.at(-1) ?? '')?.[1]
    if (id !== undefined) last = id
    return lines
  }
}
