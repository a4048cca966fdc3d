/**
 * The crew's memory: what agents write down for each other, and find again. Records here, where they are kept in `kv.ts` and
 * `file.ts`, the three tools in `server.ts`.
 */
import { z } from 'zod'
import { liveKey } from '#config/live-key.ts'

const titleField = z.string().min(1).max(200)
const textField = z.string().min(1).max(4000)

/** What every record has besides its own. */
const common = {
  title: titleField,
  tags: z
    .array(z.string().regex(/^[a-z0-9][a-z0-9._-]{0,40}$/, { error: 'a tag is lower-case letters, digits, ".", "_" and "-"' }))
    .max(10)
    .optional(),
}

const decision = z.strictObject({
  type: z.literal('decision'),
  ...common,
  context: textField.describe('What made it necessary'),
  decision: textField,
  consequences: textField.optional(),
  supersedes: z.string().max(64).optional().describe('Id of the decision it takes the place of'),
})

const incident = z.strictObject({
  type: z.literal('incident'),
  ...common,
  severity: z.enum(['low', 'medium', 'high']),
  status: z.enum(['open', 'resolved']),
  impact: textField.describe('Who noticed what'),
  cause: textField.optional(),
  resolution: textField.optional(),
})

const pattern = z.strictObject({
  type: z.literal('pattern'),
  ...common,
  problem: textField,
  solution: textField,
})

const runbook = z.strictObject({
  type: z.literal('runbook'),
  ...common,
  when: textField.describe('When to follow it'),
  steps: z.array(textField).min(1).max(50),
})

const kinds = [decision, incident, pattern, runbook] as const

/** The kinds of records. */
export const recordTypes = ['decision', 'incident', 'pattern', 'runbook'] as const
export type RecordType = (typeof recordTypes)[number]

/** What an agent writes. */
export const draftSchema = z.discriminatedUnion('type', kinds)
export type Draft = z.output<typeof draftSchema>

/** What is added here, whatever the agent says: who wrote it, when, and on which run. */
const origin = {
  id: z.string(),
  agent: z.string(),
  /** ISO 8601, UTC. */
  time: z.string(),
  run_id: z.string().optional(),
}

export const recordSchema = z.discriminatedUnion(
  'type',
  kinds.map((kind) => kind.extend(origin)) as unknown as [
    ReturnType<typeof decision.extend<typeof origin>>,
    ReturnType<typeof incident.extend<typeof origin>>,
    ReturnType<typeof pattern.extend<typeof origin>>,
    ReturnType<typeof runbook.extend<typeof origin>>,
  ],
)
export type CrewRecord = z.output<typeof recordSchema>

/** Where records are kept. A record is written once and never changed. Everything may throw for what the place does. */
export interface RecordStore {
  add(record: CrewRecord): Promise<void>
  /** Records of a type, and of an agent; left out: of all. In no order. */
  read(type?: RecordType, agent?: string): Promise<readonly CrewRecord[]>
  close(): Promise<void>
}

/** Reads what a store holds; `undefined`: it is no record, or one of a later version. */
export function parseRecord(text: string): CrewRecord | undefined {
  try {
    return recordSchema.safeParse(JSON.parse(text)).data
  } catch {
    return undefined
  }
}

/** What a draft holds that looks like a live key; the crew reads it for months. */
export function secretIn(draft: Draft): string | undefined {
  return textsIn(draft)
    .flatMap((text) => [/-----BEGIN [A-Z ]*PRIVATE KEY-----/.exec(text)?.[0] ?? '', ...text.split(/[\s"'`,;=<>(){}[\]]+/)])
    .map(liveKey)
    .find((look) => look !== undefined)
}

/** The records in which every word of a query stands, those with more of them in title and tags first, then the newest. */
export function search(records: readonly CrewRecord[], query: string): readonly CrewRecord[] {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean)
  return records
    .map((record) => {
      const all = textsIn(record).join('\n').toLowerCase()
      const head = [record.title, ...(record.tags ?? [])].join('\n').toLowerCase()
      const found = words.every((word) => all.includes(word))
      return { record, found, rank: words.filter((word) => head.includes(word)).length }
    })
    .filter(({ found }) => found)
    .toSorted((one, other) => other.rank - one.rank || newestFirst(one.record, other.record))
    .map(({ record }) => record)
}

/** By time, and by id where that is the same. */
export function newestFirst(one: CrewRecord, other: CrewRecord): number {
  return Date.parse(other.time) - Date.parse(one.time) || (one.id < other.id ? 1 : -1)
}

function textsIn(value: unknown): readonly string[] {
  if (typeof value === 'string') return [value]
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(textsIn) : []
}
