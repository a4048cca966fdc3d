import type { Clock } from '#base/clock.ts'
import { patternText } from '#base/host.ts'
import type { HostPattern } from '#base/host.ts'
import { parseHostPattern, patternWithin } from '#base/host-pattern.ts'
import { Secret } from '#base/secret.ts'
import type { Run } from '#journey/ephemeral.ts'
import { runRecord } from '#journey/incident.ts'
import type { Audit, Ids, Runs as RunsPort } from '#journey/ports.ts'
import type { ProxyAuth, Snapshot } from '#journey/types.ts'
import { runBudget } from '#metering/compile.ts'
import { coversAgent } from '#policy/match.ts'
import type { Rule } from '#policy/types.ts'
import { digestOf, RunTable } from './run-table.ts'
import type { RunsImage } from './run-table.ts'

export interface RunPorts {
  readonly clock: Clock
  readonly ids: Ids
  /** So many random bytes, as letters, digits, `-` and `_`. */
  readonly random: (bytes: number) => string
  readonly snapshot: () => Snapshot | undefined
  readonly audit: Audit
  /** Which runs there are, or who is on which, has changed. */
  readonly changed?: () => void
  /** Cuts what a run has open. */
  readonly cut: (run: string, reason: string) => void
}

/** What is asked for. Money in US dollars. */
export interface RunOrder {
  readonly agent: string
  readonly ttlSeconds: number
  readonly label?: string | undefined
  /** Host patterns; left out: all that the agent may reach. */
  readonly hosts?: readonly string[] | undefined
  readonly budget?: { readonly tokens?: number | undefined; readonly usd?: number | undefined } | undefined
}

/** A new run. Its password and stubs are told this once. */
export interface Minted extends RunRow {
  readonly kind: 'minted'
  readonly username: string
  readonly password: Secret
  readonly stubs: Readonly<Record<string, string>>
}

/** A run as operators see it: times are ISO 8601. */
export interface RunRow {
  readonly run_id: string
  readonly agent: string
  readonly label: string | undefined
  readonly hosts: readonly string[] | undefined
  readonly budget: RunOrder['budget']
  readonly created_at: string
  readonly expires_at: string
}

/** Why there is no run. */
export interface NotMinted {
  readonly kind: 'refused'
  readonly code: 'no_policy' | 'unknown_agent' | 'bad_host' | 'scope_wider' | 'too_many_runs'
  readonly message: string
}

interface Live {
  readonly row: RunRow
  readonly forget: () => void
}

/** Runs that live at once. A Job ends its own; who mints and never ends would fill the memory. */
const most = 1_000

/** Bytes: 192 bits of password; 128 of each stub. */
const length = { password: 24, stub: 16 } as const

/**
 * Owns the runs of ephemeral agents, and which run each standing agent is on. They live in memory: what stops the proxy ends
 * them, and whoever wants them back has them minted anew.
 */
export class Runs implements RunsPort {
  readonly #ports: RunPorts
  readonly #live = new Map<string, Live>()
  readonly #table: RunTable

  constructor(ports: RunPorts) {
    this.#ports = ports
    this.#table = new RunTable(ports.clock)
  }

  /** A run with its own password and stubs, of an agent that is in the policy, for hosts that agent may reach. */
  mint(order: RunOrder): Minted | NotMinted {
    const snapshot = this.#ports.snapshot()
    if (!snapshot) return refused('no_policy', 'no policy is loaded')
    const { agent, ttlSeconds, label, budget } = order
    if (!snapshot.policy.agents.has(agent)) return refused('unknown_agent', `the policy has no agent ${JSON.stringify(agent)}`)
    if (this.#live.size >= most) return refused('too_many_runs', `${most} runs are live; end some`)
    const rules = snapshot.policy.rules.filter((rule) => rule.effect === 'allow' && coversAgent(rule, agent))
    const hosts = order.hosts && readHosts(order.hosts, rules, agent)
    if (hosts && 'kind' in hosts) return hosts
    const { clock, ids, random } = this.#ports
    const id = ids.next()
    const start = clock.now()
    const expiresAt = start + ttlSeconds * 1000
    const stubs = new Map(
      [...snapshot.credentials.values()]
        .filter((credential) => credential.agents === undefined || credential.agents.has(agent))
        .filter((credential) => rules.some((rule) => rule.credentials.includes(credential.id)))
        // What looks like the stub it stands for passes wherever a client looks at its shape.
        .map((credential) => [credential.id, `${credential.stubs[0]}-${random(length.stub)}`] as const),
    )
    const run: Run = { id, agent, hosts, stubs, budget: budget && runBudget(id, budget, { start, end: expiresAt }) }
    const row: RunRow = {
      run_id: id,
      agent,
      label,
      hosts: hosts?.map(patternText),
      budget,
      created_at: new Date(start).toISOString(),
      expires_at: new Date(expiresAt).toISOString(),
    }
    const password = new Secret('run password', random(length.password))
    const forget = clock.later(ttlSeconds * 1000, () => this.#end(id, 'its time is over'))
    this.#live.set(id, { row, forget })
    this.#table.put({ run, passwordDigest: digestOf(password), expiresAt })
    this.#ports.changed?.()
    this.#tell('minted', run, label)
    return { kind: 'minted', ...row, username: `run-${id}`, password, stubs: Object.fromEntries(stubs) }
  }

  /** Ends a run and cuts what it has open. `false`: there is no such run. */
  end(id: string): boolean {
    return this.#end(id, 'it was revoked')
  }

  /** The live runs, oldest first. */
  rows(): readonly RunRow[] {
    return [...this.#live.values()].map(({ row }) => row)
  }

  /** Says which run an agent is on from now; `undefined`: on none. `false`: the policy has no such agent. */
  bind(agent: string, run: string | undefined): boolean {
    if (!this.#ports.snapshot()?.policy.agents.has(agent)) return false
    this.#table.bind(agent, run)
    this.#ports.changed?.()
    if (run !== undefined) this.#tell('bound', { id: run, agent }, undefined)
    return true
  }

  boundTo(agent: string): string | undefined {
    return this.#table.boundTo(agent)
  }

  find(auth: ProxyAuth): Run | 'refused' | undefined {
    return this.#table.find(auth)
  }

  /** A snapshot in which the stubs of all runs are known, so that they are told apart from other credentials. */
  over(of: Snapshot | undefined): Snapshot | undefined {
    return this.#table.over(of)
  }

  /** For the table of another thread. */
  image(): RunsImage {
    return this.#table.image()
  }

  /** The proxy stops: whatever is still open is cut by it. */
  close(): void {
    for (const { forget } of this.#live.values()) forget()
    this.#live.clear()
    this.#table.clear()
  }

  #end(id: string, why: string): boolean {
    this.#live.get(id)?.forget()
    this.#live.delete(id)
    const run = this.#table.remove(id)
    if (!run) return false
    this.#ports.changed?.()
    this.#ports.cut(id, `the run has ended: ${why}`)
    this.#tell('ended', run, why)
    return true
  }

  #tell(event: 'minted' | 'bound' | 'ended', { id, agent }: Pick<Run, 'id' | 'agent'>, reason: string | undefined): void {
    const { audit, clock, ids } = this.#ports
    audit.write(runRecord(ids.next(), clock.now(), { event, run: id, agent, reason }))
  }
}

/** The patterns, each of them within what some rule gives the agent. */
function readHosts(texts: readonly string[], rules: readonly Rule[], agent: string): readonly HostPattern[] | NotMinted {
  const patterns: HostPattern[] = []
  for (const text of texts) {
    const pattern = parseHostPattern(text)
    if (pattern.kind === 'refused') return refused('bad_host', pattern.reason)
    const wider = !rules.some(({ hosts }) => hosts.some((given) => patternWithin(pattern, given)))
    if (wider) return refused('scope_wider', `no rule lets ${agent} reach ${JSON.stringify(text)}`)
    patterns.push(pattern)
  }
  return patterns
}

function refused(code: NotMinted['code'], message: string): NotMinted {
  return { kind: 'refused', code, message }
}
