/** What Node says of files in a language of its own, in plain words. Codes: errno(3). */
const words: Readonly<Record<string, string>> = {
  ENOENT: 'it is not there',
  EACCES: 'this user may not',
  EPERM: 'this user may not',
  EISDIR: 'it is a directory',
  ENOTDIR: 'it is no directory',
  EEXIST: 'something else has its name',
  ENOSPC: 'the disk is full',
  EROFS: 'the file system is read-only',
}

/** Why a file cannot be used, with the system's code: `it is not there (ENOENT)`. An error of our own says it itself. */
export function fileFault(error: unknown): string {
  const { code, message } = Object(error) as { code?: unknown; message?: unknown }
  if (typeof code === 'string') return words[code] === undefined ? code : `${words[code]} (${code})`
  return typeof message === 'string' ? message : 'unknown error'
}
