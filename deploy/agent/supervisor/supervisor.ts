/**
 * Which agents run, and which should? Looks at the config file, the prompt files and the secrets every few seconds, and makes the first
 * like the second. What cannot be read changes nothing: the last good state stays.
 */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { SupervisedAgent, type AgentPorts, type AgentStatus } from './agent.ts'
import { ConfigError, readConfig, type AgentSpec } from './config.ts'
import { readSecrets } from './secrets.ts'

export interface SupervisorOptions extends AgentPorts {
  readonly config: string
  readonly secrets: string
  readonly harnesses: readonly string[]
}

interface Wanted {
  readonly spec: AgentSpec
  readonly variables: Readonly<Record<string, string>>
  readonly hash: string
}

export class Supervisor {
  readonly #options: SupervisorOptions
  readonly #agents = new Map<string, { readonly agent: SupervisedAgent; readonly hash: string }>()
  #secrets: Readonly<Record<string, string>> = {}
  readonly #prompts = new Map<string, string>()
  /** Said once, not at every look. */
  readonly #said = new Map<string, string>()

  constructor(options: SupervisorOptions) {
    this.#options = options
  }

  /** As they are now, by name. */
  statuses(): readonly AgentStatus[] {
    return [...this.#agents.values()].map(({ agent }) => agent.status).toSorted((a, b) => (a.name < b.name ? -1 : 1))
  }

  /** One look, and what follows from it. */
  async reconcile(): Promise<void> {
    const wanted = await this.#wanted()
    if (!wanted) return
    const leaving = [...this.#agents].filter(([name, { hash }]) => wanted.get(name)?.hash !== hash)
    await Promise.all(
      leaving.map(async ([name, { agent }]) => {
        this.#options.log(`${name}: ${wanted.has(name) ? 'was changed' : 'is no longer wanted'}, and is stopped`)
        await agent.stop()
        this.#agents.delete(name)
      }),
    )
    for (const [name, { spec, variables, hash }] of wanted) {
      if (this.#agents.has(name)) continue
      this.#options.log(`${name}: starts`)
      const agent = new SupervisedAgent(spec, variables, this.#options)
      this.#agents.set(name, { agent, hash })
      agent.start()
    }
  }

  /** Ends all agents at the same time. */
  async stop(): Promise<void> {
    await Promise.all([...this.#agents.values()].map(({ agent }) => agent.stop()))
    await this.#options.tmux.endAll()
  }

  /** `undefined`: nothing can be said, so nothing is to change. */
  async #wanted(): Promise<ReadonlyMap<string, Wanted> | undefined> {
    try {
      const text = await readFile(this.#options.config, 'utf8')
      const { agents, warnings } = readConfig(text, this.#options.harnesses)
      // A file that is being written, or was lost, is empty too.
      if (agents.length === 0 && this.#agents.size > 0 && !/^\s*agents\s*=\s*\[\s*\]/m.test(text)) {
        this.#say('config', 'the config names no agents, so all stay as they are; write agents = [] to stop them')
        return undefined
      }
      for (const warning of warnings) this.#say(`warning ${warning}`, warning)
      this.#say('config', '')
      this.#secrets = await this.#lastGood('secrets', this.#secrets, () => readSecrets(this.#options.secrets))
      const wanted = await Promise.all(agents.map(async (spec) => [spec.name, await this.#completed(spec)] as const))
      return new Map(wanted)
    } catch (error) {
      const words = error instanceof ConfigError ? error.problems.join('; ') : String(error)
      this.#say('config', `the config stays as it was: ${words}`)
      return undefined
    }
  }

  /** With all that makes it what it is: a change in any of it starts the agent anew. */
  async #completed(spec: AgentSpec): Promise<Wanted> {
    const prompt = spec.promptFile === undefined ? spec.prompt : await this.#promptOf(spec.promptFile)
    const variables = { ...this.#secrets, ...spec.env, AGENT_NAME: spec.name, HARNESS: spec.harness, AGENT_PROMPT: prompt }
    const hash = createHash('sha256')
      .update(JSON.stringify([spec, variables]))
      .digest('hex')
    return { spec, variables, hash }
  }

  async #promptOf(file: string): Promise<string> {
    const known = this.#prompts.get(file)
    const text = await this.#lastGood(`the prompt ${file}`, known, async () => (await readFile(file, 'utf8')).trim())
    this.#prompts.set(file, text)
    return text
  }

  /** What is read, or what was read before when it cannot be read. Rejects when it never could. */
  async #lastGood<Value>(what: string, last: Value | undefined, read: () => Promise<Value>): Promise<Value> {
    try {
      const value = await read()
      this.#say(what, '')
      return value
    } catch (error) {
      if (last === undefined) throw error
      this.#say(what, `${what} cannot be read, the last good ones stay: ${String(error)}`)
      return last
    }
  }

  #say(about: string, words: string): void {
    if (words !== '' && this.#said.get(about) !== words) this.#options.log(words)
    this.#said.set(about, words)
  }
}
