/**
 * config/ answers: what do the files say? It reads policies and settings, reports everything wrong with its place, and
 * compiles what is sound into a Snapshot. Its neighbours: app.ts asks it at start and on every change, cli/ prints it.
 */
import { createHash } from 'node:crypto'
import { readdir, readFile, realpath, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileFault } from '#base/file-fault.ts'
import type { SecretRef } from '#base/secret.ts'
import { compileCredential, credentialSchema } from '#credentials/index.ts'
import { indexAnswers } from '#credentials/oauth/answers.ts'
import { indexStubs } from '#credentials/swap/stubs.ts'
import type { Credential } from '#credentials/types.ts'
import type { Snapshot } from '#contracts/snapshot.ts'
import { compileBudget, compilePrice } from '#metering/compile.ts'
import { compilePolicy } from '#policy/compile.ts'
import { reviewPolicy } from '#policy/review.ts'
import type { PolicyFinding } from '#policy/review.ts'
import { agentSchema } from '#policy/schema.ts'
import { largestFile } from './document.ts'
import type { Issue } from './issue.ts'
import { mergeParts } from './merge.ts'
import type { Merged } from './merge.ts'
import { readPart } from './part.ts'
import { reviewCredentials } from './review.ts'
import { reviewBudgets } from './review-budgets.ts'
import { secretsIn } from './secret-refs.ts'
import type { PlacedSecret } from './secret-refs.ts'

export interface LoadOptions {
  /** Whether a secret can be read now; left out: not looked at. */
  readonly secretExists?: (ref: SecretRef) => boolean | Promise<boolean>
  /** How bad a missing secret is: `check` says error, a running proxy refuses that one credential only. Default: warning. */
  readonly missingSecret?: Issue['severity']
}

export interface LoadedPolicies {
  /** `undefined`: there are errors, and the last good one stays in force. */
  readonly snapshot: Snapshot | undefined
  readonly issues: readonly Issue[]
  readonly files: readonly string[]
  /** What they held, for another thread that compiles the same. */
  readonly sources: readonly PolicyFile[]
  /** Every secret the policy names and this version uses, with absolute files. */
  readonly secrets: readonly SecretRef[]
}

export interface PolicyFile {
  readonly file: string
  readonly bytes: Buffer
}

/** Files beside policies that test them; see `iron-proxy test`. */
export const testFilePattern = /\.test\.ya?ml$/

/** Loads a policy that a command names: a directory as the proxy reads it, or one file alone. Never throws. */
export async function loadPolicyAt(path: string, options: LoadOptions = {}): Promise<LoadedPolicies> {
  try {
    if (!(await stat(path)).isFile()) return await loadPolicies(path, options)
    return await compileFiles(dirname(path), [{ file: path, bytes: await readFile(path) }], options)
  } catch (error) {
    return unreadable(path, fileFault(error))
  }
}

/** Reads all `*.yaml` and `*.yml` directly in a directory, but for tests, as one policy. Never throws: what cannot be read is an issue. */
export async function loadPolicies(directory: string, options: LoadOptions = {}): Promise<LoadedPolicies> {
  try {
    return await compileFiles(directory, await readPolicyFiles(directory), options)
  } catch (error) {
    return unreadable(directory, `${fileFault(error)}; name a directory with *.yaml files`)
  }
}

function unreadable(path: string, fault: string): LoadedPolicies {
  const message = `the policies cannot be read: ${fault}`
  return {
    snapshot: undefined,
    issues: [{ severity: 'error', position: { file: path, line: 0, column: 0 }, path: '', message }],
    files: [],
    sources: [],
    secrets: [],
  }
}

/**
 * The policy files of a directory in the order of their names. A Kubernetes volume is read through the target of its
 * `..data` link, looked up once, so that a swap half-way never mixes two versions. Throws what `node:fs` throws.
 */
async function readPolicyFiles(directory: string): Promise<PolicyFile[]> {
  const pinned = await realpath(join(directory, '..data')).catch(() => directory)
  const names = (await readdir(pinned)).filter((name) => /^[^.].*\.ya?ml$/.test(name) && !testFilePattern.test(name)).toSorted()
  const files: PolicyFile[] = []
  for (const name of names) {
    const path = join(pinned, name)
    const about = await stat(path)
    // A pipe would never be read to its end, and neither would a device.
    if (!about.isFile()) throw new Error(`${join(directory, name)} is not a file`)
    const { size } = about
    // A file past the limit is refused by its size; there is no need to hold all of it for that.
    const bytes = size > largestFile ? Buffer.alloc(largestFile + 1) : await readFile(path)
    files.push({ file: join(directory, name), bytes })
  }
  return files
}

/** Compiles the bytes of policy files, for those who have them already. */
export async function compileFiles(
  directory: string,
  files: readonly PolicyFile[],
  options: LoadOptions = {},
): Promise<LoadedPolicies> {
  const merged = mergeParts(
    directory,
    files.map(({ file, bytes }) => readPart(file, bytes)),
  )
  const credentials = compileCredentials(merged)
  const foreign = new Map([...credentials].map(([id, credential]) => [id, credential.foreign]))
  const signing = new Set([...credentials].flatMap(([id, { placer }]) => (placer.sign ? [id] : [])))
  const policy = compilePolicy({ ...merged, foreign, signing })
  const secrets = placeSecrets(merged)
  const findings = [
    ...reviewPolicy(policy, merged.names),
    ...reviewCredentials(policy, credentials, merged),
    ...reviewBudgets(merged),
    ...(await reviewSecrets(secrets, options)),
    ...reviewEmptiness(merged),
  ]
  // Next to a broken entry, what seems to be missing elsewhere may be missing because of it.
  const kept = merged.issues.length > 0 ? findings.filter(({ severity }) => severity === 'error') : findings
  const order = new Map(files.map(({ file }, index) => [file, index]))
  const issues = [...merged.issues, ...kept.map((finding) => merged.issue(finding))].toSorted((one, other) =>
    byPlace(one, other, order),
  )
  const sound = issues.every(({ severity }) => severity === 'warning')
  return {
    snapshot: sound
      ? Object.freeze({
          hash: hashOf(files),
          policy,
          credentials,
          answers: indexAnswers(credentials.values()),
          stubs: indexStubs(credentials.values()),
          budgets: new Map([...merged.budgets].map(([id, budget]) => [id, compileBudget(id, budget)])),
          prices: new Map([...merged.prices].map(([name, price]) => [name, compilePrice(price)])),
        })
      : undefined,
    issues,
    files: files.map(({ file }) => file),
    sources: files,
    secrets: secrets.map(({ ref }) => ref),
  }
}

function compileCredentials(merged: Merged): Map<string, Credential> {
  return new Map([...merged.credentials].map(([id, config]) => [id, Object.freeze(compileCredential(id, config))]))
}

function placeSecrets({ agents, credentials }: Merged): PlacedSecret[] {
  return [
    ...[...agents].flatMap(([id, agent]) => secretsIn(agentSchema, agent, ['agents', id])),
    ...[...credentials].flatMap(([id, config]) => secretsIn(credentialSchema, config, ['credentials', id])),
  ]
}

async function reviewSecrets(
  secrets: readonly PlacedSecret[],
  { secretExists, missingSecret = 'warning' }: LoadOptions,
): Promise<PolicyFinding[]> {
  if (!secretExists) return []
  const present = await Promise.all(secrets.map(async ({ ref }) => secretExists(ref)))
  return secrets
    .filter((_, index) => !present[index])
    .map(({ path, ref }) => {
      const message =
        'file' in ref
          ? `the file ${ref.file} is missing, empty or cannot be read`
          : `the environment variable ${ref.env} is not set`
      return { severity: missingSecret, path, message }
    })
}

function reviewEmptiness({ names, rules }: Merged): PolicyFinding[] {
  const findings: PolicyFinding[] = []
  if (names.agents.size === 0)
    findings.push({ severity: 'warning', path: ['agents'], message: 'there is no agent, so every request is refused' })
  if (rules.length === 0)
    findings.push({ severity: 'warning', path: ['rules'], message: 'there is no rule, so every request is refused' })
  return findings
}

function byPlace({ position: one }: Issue, { position: other }: Issue, order: ReadonlyMap<string, number>): number {
  return (order.get(one.file) ?? -1) - (order.get(other.file) ?? -1) || one.line - other.line || one.column - other.column
}

function hashOf(files: readonly PolicyFile[]): string {
  const hash = createHash('sha256')
  // Lengths keep the end of one file apart from the start of the next.
  for (const { file, bytes } of files) hash.update(`${file}\0${bytes.length}\0`).update(bytes)
  return hash.digest('hex')
}
