/** What is in the secrets directory? A file for each variable; stubs, if the proxy is in use. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

/** Variables by name; none when there is no such directory. Rejects when any file cannot be read: half of them would be none. */
export async function readSecrets(directory: string): Promise<Readonly<Record<string, string>>> {
  const entries = await readdir(directory, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw error
  })
  // Mounted volumes keep their versions in dot directories, and link from here into them.
  const names = entries.filter((entry) => !entry.name.startsWith('.') && !entry.isDirectory()).map(({ name }) => name)
  const odd = names.find((name) => !/^[A-Za-z_]\w*$/.test(name))
  if (odd !== undefined) throw new Error(`the secret ${odd} cannot be the name of a variable`)
  const values = await Promise.all(names.map(async (name) => [name, await textOf(join(directory, name))] as const))
  return Object.fromEntries(values)
}

async function textOf(path: string): Promise<string> {
  return (await readFile(path, 'utf8')).replace(/[\r\n]+$/, '')
}
