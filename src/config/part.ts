/** One policy file, checked by itself: the entries that are sound, and what is wrong with the others. */
import type { z } from 'zod'
import { credentialSchema } from '#credentials/index.ts'
import type { CredentialConfig } from '#credentials/index.ts'
import { budgetSchema, modelPriceSchema } from '#policy/budget-schema.ts'
import { dnsSchema } from '#policy/dns-schema.ts'
import { agentSchema, ruleSchema } from '#policy/schema.ts'
import type { BudgetInput, ModelPriceInput } from '#policy/budget-schema.ts'
import type { DnsInput } from '#policy/dns-schema.ts'
import type { AgentInput, RuleInput } from '#policy/schema.ts'
import { readYaml } from './document.ts'
import type { YamlFile } from './document.ts'
import { pathText, valueAt } from './issue.ts'
import type { Issue } from './issue.ts'
import { findLiveKeys } from './live-key.ts'
import { keysAt } from './keys.ts'
import { mistakes } from './mistakes.ts'
import { policySchema } from './schema.ts'

/** The parts of a policy whose entries have names. */
export const sections = ['agents', 'credentials', 'budgets', 'prices'] as const
export type Section = (typeof sections)[number]

export interface PolicyPart {
  readonly yaml: YamlFile
  readonly agents: ReadonlyMap<string, AgentInput>
  readonly credentials: ReadonlyMap<string, CredentialConfig>
  /** `index` counts within the file. */
  readonly rules: readonly { readonly index: number; readonly rule: RuleInput }[]
  readonly budgets: ReadonlyMap<string, BudgetInput>
  readonly prices: ReadonlyMap<string, ModelPriceInput>
  readonly dns: DnsInput | undefined
  readonly issues: readonly Issue[]
}

/** Reads one file. An entry with a mistake is left out, so that the others can still be compared with each other. */
export function readPart(file: string, bytes: Buffer): PolicyPart {
  const yaml = readYaml(file, bytes)
  const { data } = yaml
  const issues = data === undefined ? yaml.issues : [...yaml.issues, ...documentIssues(yaml)]
  return {
    yaml,
    agents: entries(data, 'agents', agentSchema),
    credentials: entries(data, 'credentials', credentialSchema),
    rules: ruleEntries(data),
    budgets: entries(data, 'budgets', budgetSchema),
    prices: entries(data, 'prices', modelPriceSchema),
    dns: dnsSchema.optional().safeParse(valueAt(data, ['dns'])).data,
    issues,
  }
}

/** Names written in a file, whether or not what they name is sound. */
export function namesIn({ yaml }: PolicyPart, section: Section): string[] {
  return keysOf(valueAt(yaml.data, [section]))
}

/** An issue at a path of a file. A text in a list is named by its list: the message quotes it. */
export function issueAt(
  yaml: YamlFile,
  severity: Issue['severity'],
  path: readonly PropertyKey[],
  message: string,
  key?: string,
): Issue {
  const inList = typeof path.at(-1) === 'number' && typeof valueAt(yaml.data, path) !== 'object'
  return { severity, position: yaml.locate(path, key), path: pathText(inList ? path.slice(0, -1) : path), message }
}

function documentIssues(yaml: YamlFile): Issue[] {
  const { data } = yaml
  if (data === null) return [issueAt(yaml, 'error', [], 'the file is empty; a policy starts with "version: 1"')]
  const live = findLiveKeys(data)
  const secret = new Set(live.map(({ path }) => pathText(path)))
  const found = policySchema.safeParse(data)
  const wrong = found.success ? [] : mistakes(found.error, data, (path) => keysAt(policySchema, data, path))
  return [
    ...live.map(({ path, looksLike }) => {
      return issueAt(
        yaml,
        'error',
        path,
        `this looks like ${looksLike}; a policy never holds a secret: name its place, {file: …} or {env: …}`,
      )
    }),
    // Whatever else is wrong with a value that may be real, its message could repeat it.
    ...wrong
      .filter(({ path }) => !secret.has(pathText(path)))
      .map(({ path, key, message }) => issueAt(yaml, 'error', path, message, key)),
  ]
}

function entries<Schema extends z.ZodType>(data: unknown, section: string, schema: Schema): Map<string, z.output<Schema>> {
  const sound = new Map<string, z.output<Schema>>()
  for (const id of keysOf(valueAt(data, [section]))) {
    const parsed = schema.safeParse(valueAt(data, [section, id]))
    if (parsed.success) sound.set(id, parsed.data)
  }
  return sound
}

function ruleEntries(data: unknown): PolicyPart['rules'] {
  const rules = valueAt(data, ['rules'])
  if (!Array.isArray(rules)) return []
  return rules.flatMap((raw, index) => {
    const parsed = ruleSchema.safeParse(raw)
    return parsed.success ? [{ index, rule: parsed.data }] : []
  })
}

function keysOf(value: unknown): string[] {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.keys(value) : []
}
