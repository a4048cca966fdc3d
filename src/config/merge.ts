/** Several files, one policy: maps are joined, rules follow each other in the order of the files. */
import { dirname, resolve } from 'node:path'
import type { z } from 'zod'
import type { SecretRef } from '#base/secret.ts'
import { credentialSchema } from '#credentials/index.ts'
import type { CredentialConfig } from '#credentials/index.ts'
import type { PolicyInput } from '#policy/compile.ts'
import type { PolicyFinding } from '#policy/review.ts'
import { agentSchema } from '#policy/schema.ts'
import type { BudgetInput, ModelPriceInput } from '#policy/budget-schema.ts'
import type { DnsInput } from '#policy/dns-schema.ts'
import type { AgentInput } from '#policy/schema.ts'
import { pathText, valueAt } from './issue.ts'
import type { Issue } from './issue.ts'
import { issueAt, namesIn, sections } from './part.ts'
import type { PolicyPart, Section } from './part.ts'
import { mapSecrets } from './secret-refs.ts'

export interface Merged {
  readonly agents: ReadonlyMap<string, AgentInput>
  readonly credentials: ReadonlyMap<string, CredentialConfig>
  readonly rules: PolicyInput['rules']
  readonly budgets: ReadonlyMap<string, BudgetInput>
  readonly prices: ReadonlyMap<string, ModelPriceInput>
  readonly dns: DnsInput
  /** Names that are written somewhere, sound or not. */
  readonly names: Readonly<Record<Section, ReadonlySet<string>>>
  readonly issues: readonly Issue[]
  /** What a finding about the joined policy is in the file it comes from. */
  issue(finding: PolicyFinding): Issue
}

/** Joins the files of a policy; secrets get absolute files. `directory` stands for the whole where no file does. */
export function mergeParts(directory: string, parts: readonly PolicyPart[]): Merged {
  const rules = parts.flatMap((part) => part.rules.map((rule) => ({ ...rule, part })))
  const owners = {
    agents: ownersOf(parts, 'agents'),
    credentials: ownersOf(parts, 'credentials'),
    budgets: ownersOf(parts, 'budgets'),
    prices: ownersOf(parts, 'prices'),
  }

  const issue = ({ severity, path, message }: PolicyFinding): Issue => {
    const [section, entry, ...rest] = path
    const rule = section === 'rules' && typeof entry === 'number' ? rules[entry] : undefined
    if (rule) return issueAt(rule.part.yaml, severity, ['rules', rule.index, ...rest], message)
    const owner = isSection(section) ? owners[section].get(String(entry)) : undefined
    const holder = owner ?? parts.find(({ yaml }) => path.length > 0 && valueAt(yaml.data, path) !== undefined)
    if (holder) return issueAt(holder.yaml, severity, path, message)
    return { severity, position: { file: directory, line: 0, column: 0 }, path: pathText(path), message }
  }

  return {
    agents: new Map(parts.flatMap(({ agents, yaml }) => withAbsoluteSecrets(agents, agentSchema, yaml.file))),
    credentials: new Map(parts.flatMap(({ credentials, yaml }) => withAbsoluteSecrets(credentials, credentialSchema, yaml.file))),
    rules: rules.map(({ rule, index, part }) => ({ rule, position: part.yaml.locate(['rules', index]) })),
    budgets: new Map(parts.flatMap(({ budgets }) => [...budgets])),
    prices: new Map(parts.flatMap(({ prices }) => [...prices])),
    dns: mergeDns(parts),
    names: {
      agents: new Set(owners.agents.keys()),
      credentials: new Set(owners.credentials.keys()),
      budgets: new Set(owners.budgets.keys()),
      prices: new Set(owners.prices.keys()),
    },
    issues: [...parts.flatMap((part) => part.issues), ...repeated(parts), ...contradictoryDns(parts)],
    issue,
  }
}

/** A policy names files relative to itself. */
function withAbsoluteSecrets<Entry>(entries: ReadonlyMap<string, Entry>, schema: z.ZodType, namedIn: string): [string, Entry][] {
  const absolute = (ref: SecretRef) => ('file' in ref ? { ...ref, file: resolve(dirname(namedIn), ref.file) } : ref)
  return [...entries].map(([id, entry]) => [id, mapSecrets(schema, entry, absolute)])
}

function isSection(name: unknown): name is Section {
  return (sections as readonly unknown[]).includes(name)
}

function ownersOf(parts: readonly PolicyPart[], section: Section): Map<string, PolicyPart> {
  const owners = new Map<string, PolicyPart>()
  for (const part of parts) for (const id of namesIn(part, section)) if (!owners.has(id)) owners.set(id, part)
  return owners
}

function repeated(parts: readonly PolicyPart[]): Issue[] {
  return sections.flatMap((section) => {
    const owners = ownersOf(parts, section)
    return parts.flatMap((part) =>
      namesIn(part, section).flatMap((id) => {
        const owner = owners.get(id)
        if (!owner || owner === part) return []
        const { file, line } = owner.yaml.locate([section], id)
        return [
          issueAt(
            part.yaml,
            'error',
            [section],
            `${JSON.stringify(id)} stands in ${file}:${line} already; give one of them another name`,
            id,
          ),
        ]
      }),
    )
  })
}

function contradictoryDns(parts: readonly PolicyPart[]): Issue[] {
  const [first, ...others] = parts.filter(({ dns }) => dns?.deny !== undefined)
  return others
    .filter(({ dns }) => dns?.deny !== first?.dns?.deny)
    .map(({ yaml }) => issueAt(yaml, 'error', ['dns', 'deny'], `${first?.yaml.file} says ${first?.dns?.deny}; say it once`))
}

function mergeDns(parts: readonly PolicyPart[]): DnsInput {
  return {
    deny: parts.find(({ dns }) => dns?.deny !== undefined)?.dns?.deny,
    forward: parts.flatMap(({ dns }) => dns?.forward ?? []),
    records: parts.flatMap(({ dns }) => dns?.records ?? []),
  }
}
