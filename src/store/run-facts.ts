import { createHash } from 'node:crypto'
import type { KeptRun, KeptRuns } from '#contracts/runs.ts'

/**
 * One thing that is known of runs. Of two facts under one name the one with the larger `seq` counts, whoever tells it and when, so
 * that replicas agree whatever was lost between them; that a run has ended is larger than that it lives.
 */
export type RunFact = {
  readonly name: string
  readonly seq: number
  /** Milliseconds since the epoch after which nobody needs it. */
  readonly until: number
} & (
  | { readonly kind: 'live'; readonly run: KeptRun }
  /** `by`: the process that ended it, and has the record of that to write. */
  | { readonly kind: 'ended'; readonly by: string }
  | { readonly kind: 'bound'; readonly agent: string; readonly run: string | undefined }
)

/** Milliseconds: an end is known for a day, so that somebody writes it down; who is on which run, until nobody speaks of it. */
const kept = { ended: 86_400_000, bound: 40 * 86_400_000 } as const

export function liveFact(run: KeptRun): RunFact {
  return { kind: 'live', name: nameOf(run.id), seq: 1, until: run.expiresAt + kept.ended, run }
}

export function endedFact({ id, expiresAt }: Pick<KeptRun, 'id' | 'expiresAt'>, by: string): RunFact {
  return { kind: 'ended', name: nameOf(id), seq: 2, until: expiresAt + kept.ended, by }
}

/** `at`: milliseconds since the epoch; later ones count. */
export function boundFact(agent: string, run: string | undefined, at: number): RunFact {
  return { kind: 'bound', name: `agent:${agent}`, seq: at, until: at + kept.bound, agent, run }
}

/** The id of a run is half of what it speaks with, and no name for the eyes of whoever keeps it. */
function nameOf(id: string): string {
  return `run:${createHash('sha256').update(id).digest('hex')}`
}

/** Owns what this process knows of runs. */
export class RunFacts {
  readonly #facts = new Map<string, RunFact>()

  /** `false`: nothing new. */
  take(fact: RunFact): boolean {
    const before = this.#facts.get(fact.name)
    if (before && before.seq >= fact.seq) return false
    this.#facts.set(fact.name, fact)
    return true
  }

  get(name: string): RunFact | undefined {
    return this.#facts.get(name)
  }

  all(): readonly RunFact[] {
    return [...this.#facts.values()]
  }

  forget(now: number): void {
    for (const { name, until } of this.#facts.values()) if (until < now) this.#facts.delete(name)
  }

  kept(current: boolean): KeptRuns {
    const facts = this.all()
    return {
      current,
      runs: facts.flatMap((fact) => (fact.kind === 'live' ? [fact.run] : [])),
      bound: facts.flatMap((fact) => (fact.kind === 'bound' && fact.run !== undefined ? [[fact.agent, fact.run] as const] : [])),
    }
  }
}
