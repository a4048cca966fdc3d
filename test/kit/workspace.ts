import { readFileSync } from 'node:fs'
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createAuthority } from '#ca/authority.ts'
import { writeAuthority } from '#ca/files.ts'
import type { AuditRecord } from '#contracts/audit-record.ts'
import { testAuthority } from './ca.ts'
import { makeCanary } from './canary.ts'

/** The files one app works with, in a folder of their own. */
export interface Workspace extends AsyncDisposable {
  readonly folder: string
  /** The CA that agents trust: as PEM, and as the files the app reads. */
  readonly ca: string
  readonly caFile: string
  readonly caKeyFile: string
  /** The root of the kit's upstreams. */
  readonly upstreamCaFile: string
  readonly policies: string
  readonly auditFile: string
  /** Real values by the names of their files. */
  readonly secrets: Readonly<Record<string, string>>
  /** Every real value there ever was; the names count them. */
  readonly everSecret: Readonly<Record<string, string>>
  writePolicy(yaml: string): Promise<void>
  /** Gives a secret file a new canary, and makes the file when there was none. */
  renewSecret(name: string): Promise<string>
  /** What stands in the audit file. */
  audit(): string
  auditRecords(): readonly AuditRecord[]
}

/** Makes the folder with a CA, the policy and the secrets in it; gone again when disposed. */
export async function makeWorkspace(policy: string, secretNames: readonly string[]): Promise<Workspace> {
  await using stack = new AsyncDisposableStack()
  const folder = await mkdtemp(join(tmpdir(), 'scenario-'))
  stack.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 }))
  const policies = join(folder, 'policies')
  const caFile = join(folder, 'ca.crt')
  const caKeyFile = join(folder, 'ca.key')
  const upstreamCaFile = join(folder, 'upstream.crt')
  const auditFile = join(folder, 'audit.jsonl')
  const secrets: Record<string, string> = {}
  const everSecret: Record<string, string> = {}

  async function renewSecret(name: string): Promise<string> {
    const value = makeCanary()
    secrets[name] = value
    everSecret[`${name} ${Object.keys(everSecret).length + 1}`] = value
    await replaceFile(join(policies, 'secrets', name), `${value}\n`)
    return value
  }

  function audit(): string {
    try {
      return readFileSync(auditFile, 'utf8')
    } catch {
      // It is made with the first record.
      return ''
    }
  }

  const made = createAuthority({ commonName: 'Scenario CA', days: 7, now: Date.now() })
  await writeAuthority(made, { certPath: caFile, keyPath: caKeyFile })
  await writeFile(upstreamCaFile, testAuthority().certPem)
  await mkdir(join(policies, 'secrets'), { recursive: true })
  for (const name of secretNames) await renewSecret(name)
  await writeFile(join(policies, 'policy.yaml'), policy)
  const owned = stack.move()
  return {
    folder,
    ca: made.certPem,
    caFile,
    caKeyFile,
    upstreamCaFile,
    policies,
    auditFile,
    secrets,
    everSecret,
    writePolicy: (yaml) => replaceFile(join(policies, 'policy.yaml'), yaml),
    renewSecret,
    audit,
    auditRecords: () => parseLines(audit()),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

/** Writes beside and renames over, so that no reader ever sees half a file. */
async function replaceFile(path: string, text: string): Promise<void> {
  await writeFile(`${path}.new`, text, { mode: 0o600 })
  await rename(`${path}.new`, path)
}

function parseLines(text: string): readonly AuditRecord[] {
  // The last line may still be on its way.
  const whole = text.slice(0, text.lastIndexOf('\n') + 1)
  return whole
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as AuditRecord)
}
