/** What the tests of `deploy/` share: programs that render it, and its objects as data. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse, parseAllDocuments, stringify } from 'yaml'
import { have, run } from '../kit/clients.ts'
import type { Manifest } from './schemas.ts'

export const top = join(import.meta.dirname, '..', '..')
export const deploy = join(top, 'deploy')
/** What `deploy/` rendered to when it was last looked at; `vitest -u` renews it. */
export const goldens = join(top, 'test', 'fixtures', 'deploy')

export function yamlOf(...path: readonly string[]): unknown {
  return parse(readFileSync(join(top, ...path), 'utf8'))
}

/** The objects of a stream, in an order that does not depend on who wrote it. */
export function manifestsOf(text: string): readonly Manifest[] {
  const manifests = parseAllDocuments(text)
    .map((document) => document.toJS() as Manifest | null)
    .filter((each) => each !== null)
  return manifests.toSorted((a, b) => nameOf(a).localeCompare(nameOf(b)))
}

export function nameOf({ kind, metadata }: Manifest): string {
  return `${kind}/${metadata.name}`
}

/** The same objects as text, each key in its place, without the dashboard, which has a test of its own: what a golden holds. */
export function canonical(manifests: readonly Manifest[]): string {
  const shorter = manifests.map((each) => (each.metadata.name.endsWith('dashboard') ? { ...each, data: {} } : each))
  return shorter
    .map((each) => stringify(each, { sortMapEntries: true, lineWidth: 0, aliasDuplicateObjects: false }))
    .join('---\n')
}

/** The one object of a kind, and of a name where there are several. Throws when there is none. */
export function only(manifests: readonly Manifest[], kind: string, name?: string): Manifest {
  const found = manifests.find((each) => each.kind === kind && (name === undefined || each.metadata.name === name))
  if (!found) throw new Error(`no ${kind} ${name ?? ''}`)
  return found
}

// Debian's kubectl 1.20 knows neither components nor replacements.
const modernKubectl = have('kubectl') && /"?v5\./.test(await versionOf('kubectl', ['version', '--client']))
const kustomize = have('kustomize') ? ['kustomize', 'build'] : modernKubectl ? ['kubectl', 'kustomize'] : undefined

export const hasKustomize = kustomize !== undefined

/** The objects of a kustomization. Throws what the program says. */
export async function renderKustomization(folder: string): Promise<readonly Manifest[]> {
  const [program = '', ...args] = kustomize ?? []
  return manifestsOf(await outputOf(program, [...args, folder]))
}

/** Throws what the program says on standard error when it fails. */
export async function outputOf(program: string, args: readonly string[], input?: string): Promise<string> {
  const done = await run(program, args, input === undefined ? {} : { input })
  if (done.code !== 0) throw new Error(`${program} ${args.join(' ')}: ${done.stderr}${done.stdout}`)
  return done.stdout
}

async function versionOf(program: string, args: readonly string[]): Promise<string> {
  return (await run(program, args)).stdout
}
