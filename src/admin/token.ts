import { readFile } from 'node:fs/promises'
import { Secret } from '#base/secret.ts'

/** Characters of a token that cannot be guessed. */
const shortest = 16

/** The token in a file. Throws when it is too short to keep anybody out. */
export async function readToken(file: string | undefined): Promise<Secret | undefined> {
  if (file === undefined) return undefined
  const token = (await readFile(file, 'utf8')).trim()
  if (token.length < shortest) throw new Error(`adminToken: ${file} holds less than ${shortest} characters`)
  return new Secret('admin token', token)
}
