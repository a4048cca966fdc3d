/** The files that settings name are opened long after the settings were read: whether they can be is asked at once. */
import { X509Certificate } from 'node:crypto'
import { access, constants, readFile, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { fileFault } from '#base/file-fault.ts'
import type { Issue } from './issue.ts'
import type { Settings } from './settings-schema.ts'

/** What is wrong with them, all at once. State, CA and secrets are told where they are opened: they may be made there. */
export async function unusableFiles({ adminToken, redis, upstream, audit }: Settings): Promise<readonly Issue[]> {
  const found = await Promise.all([
    ...wrongWith(readFile, 'adminToken', adminToken),
    ...wrongWith(readFile, 'redis.password', redis.password),
    ...wrongWith(readFile, 'redis.sentinelPassword', redis.sentinelPassword),
    ...wrongWith(readRoot, 'redis.ca', redis.ca),
    ...upstream.ca.flatMap((file, index) => wrongWith(readRoot, `upstream.ca[${index}]`, file)),
    ...wrongWith(readFile, 'audit.nats.credentials', audit.nats.credentials),
    ...wrongWith(mayAppend, 'audit.file', audit.file),
  ])
  return found.filter((issue) => issue !== undefined)
}

function wrongWith(
  use: (file: string) => Promise<unknown>,
  path: string,
  file: string | undefined,
): readonly Promise<Issue | undefined>[] {
  if (file === undefined) return []
  const issue = (error: unknown): Issue => ({
    severity: 'error',
    position: { file, line: 0, column: 0 },
    path,
    message: `cannot be used: ${fileFault(error)}`,
  })
  return [use(file).then(() => undefined, issue)]
}

async function readRoot(file: string): Promise<X509Certificate> {
  const bytes = await readFile(file)
  try {
    return new X509Certificate(bytes)
  } catch (error) {
    throw new Error('it holds no certificate in PEM', { cause: error })
  }
}

/** Asked and not tried: whoever checks settings makes no files. */
async function mayAppend(file: string): Promise<void> {
  const found = await stat(file).catch(() => undefined)
  if (found?.isDirectory()) throw Object.assign(new Error('a directory'), { code: 'EISDIR' })
  await access(found ? file : dirname(file), constants.W_OK)
}
