import type { Ended, KeptRun, KeptRuns, RunStore } from '#contracts/runs.ts'
import { boundFact, endedFact, liveFact, RunFacts } from '#store/run-facts.ts'
import type { RunFact } from '#store/run-facts.ts'
import { StoreError } from '#store/store-error.ts'

/** What several stores in memory share, and whether it is away. */
export class RunHub {
  away = false
  readonly facts = new RunFacts()
  readonly stores = new Set<MemoryRuns>()
}

/** A store of runs in memory that keeps every promise but that of surviving. */
export class MemoryRuns implements RunStore {
  readonly #hub: RunHub
  readonly #own = new RunFacts()
  readonly #me: string
  #changed: (kept: KeptRuns) => void | Promise<void> = () => {}

  constructor(hub = new RunHub()) {
    this.#hub = hub
    this.#me = `process ${hub.stores.size}`
    hub.stores.add(this)
  }

  follow(changed: (kept: KeptRuns) => void | Promise<void>): void {
    this.#changed = changed
  }

  async open(): Promise<void> {
    await this.look()
  }

  async put(run: KeptRun): Promise<void> {
    if (!(await this.#write(liveFact(run)))) throw new StoreError('store_io', 'memory: is away; bring it back')
  }

  async end(run: Pick<KeptRun, 'id' | 'expiresAt'>): Promise<Ended> {
    const fact = endedFact(run, this.#me)
    this.#own.take(fact)
    const known = await this.#write(fact)
    return { mine: known?.kind === 'ended' ? known.by === this.#me : undefined, told: known !== undefined }
  }

  async bind(agent: string, run: string | undefined): Promise<boolean> {
    const seq = (this.#hub.facts.get(boundFact(agent, run, 0).name)?.seq ?? 0) + 1
    const fact = boundFact(agent, run, seq)
    this.#own.take(fact)
    return (await this.#write(fact)) !== undefined
  }

  async close(): Promise<void> {
    this.#hub.stores.delete(this)
  }

  /** Takes in what there is, and tells it; also that nobody is there. */
  async look(): Promise<void> {
    if (!this.#hub.away) for (const fact of this.#hub.facts.all()) this.#own.take(fact)
    await this.#changed(this.#own.kept(!this.#hub.away))
  }

  async #write(fact: RunFact): Promise<RunFact | undefined> {
    if (this.#hub.away) {
      await this.look()
      return undefined
    }
    this.#hub.facts.take(fact)
    for (const store of this.#hub.stores) await store.look()
    return this.#hub.facts.get(fact.name)
  }
}
