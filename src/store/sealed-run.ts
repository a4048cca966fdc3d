import { z } from 'zod'
import { liveFact } from './run-facts.ts'
import type { RunFact } from './run-facts.ts'
import type { Seal } from './seal.ts'

/** A fact as a store has it. */
export interface SealedRun {
  readonly name: string
  readonly seq: number
  readonly until: number
  readonly sealed: Uint8Array
}

/** Checked on the way in: only what was sealed here comes so far, but perhaps by another version. */
const factShape = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('live'),
    run: z.strictObject({
      id: z.string(),
      agent: z.string(),
      label: z.string().optional(),
      hosts: z.array(z.string()).optional(),
      budget: z.strictObject({ tokens: z.number().optional(), usd: z.number().optional() }).optional(),
      stubs: z.record(z.string(), z.string()),
      passwordDigest: z.hex().length(64),
      startedAt: z.number(),
      expiresAt: z.number(),
    }),
  }),
  z.strictObject({ kind: z.literal('ended'), by: z.string() }),
  z.strictObject({ kind: z.literal('bound'), agent: z.string(), run: z.string().optional() }),
])

export function sealFact({ name, seq, until, ...what }: RunFact, seal: Seal): SealedRun {
  return { name, seq, until, sealed: seal.seal(JSON.stringify(what), contextOf(name)) }
}

/** `undefined`: it does not open, or is not what its name says; nothing is known of it then. */
export function openRow({ name, seq, until, sealed }: SealedRun, seal: Seal): RunFact | undefined {
  const text = seal.open(sealed, contextOf(name))
  const what = text === undefined ? undefined : factShape.safeParse(JSON.parse(text)).data
  if (!what) return undefined
  switch (what.kind) {
    case 'live': {
      const { label, hosts, budget, ...run } = what.run
      return { ...liveFact({ ...run, label, hosts, budget }), name }
    }
    case 'ended':
      return { ...what, name, seq, until }
    case 'bound':
      return { ...what, run: what.run, name, seq, until }
    default:
      return what satisfies never
  }
}

function contextOf(name: string): readonly [string, string] {
  return ['runs', name]
}
