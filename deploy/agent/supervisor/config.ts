/**
 * Which agents are there to be? Reads the `[[agents]]` of a TOML file; other sections are somebody else's. One mistake rejects the whole
 * file, and all mistakes are told at once.
 */
import { parse, TomlError } from 'smol-toml'
import { durationOf, sizeOf } from './units.ts'

export type Restart = 'no' | 'on-failure' | 'always'

export interface AgentSpec {
  readonly name: string
  readonly type: 'native' | 'sandboxed'
  readonly harness: string
  readonly prompt: string
  /** Its content stands for the prompt. */
  readonly promptFile: string | undefined
  readonly workdir: string
  readonly restart: Restart
  /** 0: as often as it takes. */
  readonly maxRestarts: number
  /** Milliseconds; 0: none. */
  readonly timeout: number
  /** Milliseconds between being asked to end and being killed. */
  readonly gracePeriod: number
  /** Of tmux. */
  readonly session: string
  readonly env: Readonly<Record<string, string>>
}

export interface Config {
  readonly agents: readonly AgentSpec[]
  readonly warnings: readonly string[]
}

/** What is wrong with a file, each with its place. */
export class ConfigError extends Error {
  readonly problems: readonly string[]

  constructor(problems: readonly string[]) {
    super(problems.join('\n'))
    this.problems = problems
  }
}

type Table = Readonly<Record<string, unknown>>

const keys = new Set(
  `name type harness prompt prompt_file workdir restart max_restarts timeout grace_period
  session memory pid_limit extra_packages replicas env`.split(/\s+/),
)

const restarts: readonly string[] = ['no', 'on-failure', 'always'] satisfies Restart[]

/** Names become files, sessions and paths of the API. */
const nameShape = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/

/** The agents of a file. `harnesses`: what can be started. Throws `ConfigError`. */
export function readConfig(text: string, harnesses: readonly string[]): Config {
  const problems: string[] = []
  const warnings: string[] = []
  const tables = tablesIn(text, warnings)
  const unnamed = tables.map(({ name, harness }) => (name === undefined ? harness : undefined))
  const alone = (harness: unknown): boolean => unnamed.filter((each) => each === harness).length === 1
  const counts = new Map<unknown, number>()

  const agents = tables.flatMap((table, index) => {
    const place = `agents[${index}]`
    const read = new Reader(table, place, problems)
    const spec = specOf(read, harnesses)
    for (const key of Object.keys(table)) if (!keys.has(key)) problems.push(`${place}.${key}: there is no such key`)
    for (const key of ['memory', 'pid_limit']) {
      if (table[key] !== undefined && spec.type === 'native') warnings.push(`${place}.${key}: a native agent is not held to it`)
    }
    const replicas = read.count('replicas', 1, 1)
    const base = table['name'] === undefined ? spec.harness : spec.name
    // Several that have no name are counted through, replicas and all.
    if (table['name'] === undefined && !(alone(spec.harness) && replicas === 1)) {
      const from = counts.get(spec.harness) ?? 0
      counts.set(spec.harness, from + replicas)
      return Array.from({ length: replicas }, (_, i) => named(spec, `${base}-${from + i}`))
    }
    return replicas === 1 ? [named(spec, base)] : Array.from({ length: replicas }, (_, i) => named(spec, `${base}-${i}`))
  })

  for (const [what, values] of [
    ['name', agents.map(({ name }) => name.toLowerCase())],
    ['session', agents.map(({ session }) => session)],
  ] as const) {
    const twice = new Set(values.filter((value, index) => values.indexOf(value) !== index))
    for (const value of twice) problems.push(`agents: two have the ${what} ${value}`)
  }
  if (problems.length > 0) throw new ConfigError(problems)
  return { agents, warnings }
}

function tablesIn(text: string, warnings: string[]): readonly Table[] {
  let document: Table
  try {
    document = parse(text)
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    throw new ConfigError([`line ${error.line}, column ${error.column}: ${error.message.split('\n')[0]}`])
  }
  const { agents, agent } = document
  const many = Array.isArray(agents) ? (agents as Table[]) : []
  if (agents !== undefined && !Array.isArray(agents)) throw new ConfigError(['agents: write [[agents]], one for each'])
  if (agent === undefined) return many
  if (typeof agent !== 'object' || agent === null || Array.isArray(agent)) throw new ConfigError(['agent: write [[agents]]'])
  warnings.push('[agent] is how one agent was written before; write [[agents]]')
  return [...many, agent as Table]
}

function specOf(read: Reader, harnesses: readonly string[]): AgentSpec {
  const harness = read.text('harness', '')
  if (harness === '') read.fault('harness', 'is missing')
  else if (!harnesses.includes(harness)) read.fault('harness', `there is no ${harness}; there are ${harnesses.join(', ')}`)
  const type = read.oneOf('type', ['native', 'sandboxed'], 'native') as AgentSpec['type']
  const packages = read.table['extra_packages']
  if (packages !== undefined) {
    if (type === 'native') read.fault('extra_packages', 'a native agent has what its machine has')
    else if (!Array.isArray(packages) || !packages.every((each) => typeof each === 'string' && each !== ''))
      read.fault('extra_packages', 'is a list of names')
  }
  const memory = read.table['memory']
  const written = typeof memory === 'string' || typeof memory === 'number' ? String(memory) : ''
  if (memory !== undefined && sizeOf(written) === undefined) read.fault('memory', 'is a size such as 512MiB')
  read.count('pid_limit', 512, 0)
  const name = read.text('name', harness)
  if (name !== '' && !nameShape.test(name)) read.fault('name', 'is letters, digits, dots, dashes and underscores')
  const promptFile = read.text('prompt_file', '')
  return {
    name,
    type,
    harness,
    prompt: read.text('prompt', ''),
    promptFile: promptFile === '' ? undefined : promptFile,
    workdir: read.text('workdir', '/home/agent/workspace'),
    restart: read.oneOf('restart', restarts, 'no') as Restart,
    maxRestarts: read.count('max_restarts', 0, 0),
    timeout: read.duration('timeout', 0),
    gracePeriod: read.duration('grace_period', 30_000),
    session: read.text('session', ''),
    env: read.texts('env'),
  }
}

/** tmux would change dots and colons by itself, and then not find the session by the name it was given. */
function named(spec: AgentSpec, name: string): AgentSpec {
  const wanted = spec.session === '' ? name : `${spec.session}${name.slice(spec.name.length)}`
  return { ...spec, name, session: wanted.replaceAll(/[^A-Za-z0-9_-]/g, '_') }
}

/** Takes values out of a table, and notes what is wrong with them. */
class Reader {
  readonly table: Table
  readonly #place: string
  readonly #problems: string[]

  constructor(table: Table, place: string, problems: string[]) {
    this.table = table
    this.#place = place
    this.#problems = problems
  }

  fault(key: string, what: string): void {
    this.#problems.push(`${this.#place}.${key}: ${what}`)
  }

  text(key: string, otherwise: string): string {
    const value = this.table[key]
    if (value === undefined || typeof value === 'string') return value ?? otherwise
    this.fault(key, 'is a text')
    return otherwise
  }

  oneOf(key: string, words: readonly string[], otherwise: string): string {
    const value = this.text(key, otherwise)
    if (!words.includes(value)) this.fault(key, `is one of ${words.join(', ')}`)
    return value
  }

  count(key: string, otherwise: number, least: number): number {
    const value = this.table[key] ?? otherwise
    if (typeof value === 'number' && Number.isInteger(value) && value >= least) return value
    this.fault(key, `is a whole number of at least ${least}`)
    return otherwise
  }

  duration(key: string, otherwise: number): number {
    const value = this.text(key, '')
    const read = value === '' ? otherwise : durationOf(value)
    if (read === undefined) this.fault(key, 'is a duration such as 30s or 1h30m')
    return read ?? otherwise
  }

  texts(key: string): Readonly<Record<string, string>> {
    const value = this.table[key] ?? {}
    const texts = typeof value === 'object' && Object.values(value).every((each) => typeof each === 'string')
    const named = texts && Object.keys(value).every((name) => /^[A-Za-z_]\w*$/.test(name))
    if (!named) this.fault(key, 'is a table of variables and their texts')
    return named ? (value as Record<string, string>) : {}
  }
}
