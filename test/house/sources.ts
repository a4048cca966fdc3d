import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'

/** The top of the repository. */
export const top = new URL('../..', import.meta.url).pathname

/** Every file of ours below a folder with one of the endings, relative to the top. */
export function filesBelow(folder: string, ...endings: readonly string[]): readonly string[] {
  return readdirSync(join(top, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && endings.some((ending) => entry.name.endsWith(ending)))
    .map((entry) => relative(top, join(entry.parentPath, entry.name)))
    .filter((file) => !file.includes('node_modules/'))
    .toSorted()
}

export function textOf(file: string): string {
  return readFileSync(join(top, file), 'utf8')
}

/** What a file imports, as written. */
export function importsOf(file: string): readonly string[] {
  const found = textOf(file).matchAll(/(?:^import|^export|\bimport\()[^'"\n]*?(?:from\s*)?\(?['"]([^'"]+)['"]/gm)
  const multiline = textOf(file).matchAll(/^\} from '([^']+)'/gm)
  return [...found, ...multiline].map((match) => match[1] ?? '')
}
