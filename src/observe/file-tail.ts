import { open } from 'node:fs/promises'

/** The last whole lines of a file, out of so many bytes at its end. No file, or one that cannot be read: none. */
export async function fileTail(path: string, bytes: number): Promise<readonly string[]> {
  const file = await open(path).catch(() => undefined)
  if (!file) return []
  try {
    const { size } = await file.stat()
    const from = Math.max(0, size - bytes)
    const { buffer, bytesRead } = await file.read(Buffer.alloc(Math.min(size, bytes)), 0, undefined, from)
    const lines = buffer.toString('utf8', 0, bytesRead).split('\n')
    // The first may have lost its beginning, the last may still be on its way.
    return lines.slice(from > 0 ? 1 : 0, -1)
  } catch {
    return []
  } finally {
    await file.close()
  }
}
