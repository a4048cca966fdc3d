/** `allow` and `deny`: the rule that a person would write, put where it decides, with everything else in the file as it was. */
import { copyFile, mkdtemp, readdir, readFile, realpath, rename, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { parseDocument } from 'yaml'
import { parseHostPattern } from '#base/host-pattern.ts'
import { fileFault } from '#base/file-fault.ts'
import { matchesHost, patternText } from '#base/host.ts'
import type { HostPattern } from '#base/host.ts'
import { changedLines, EditError, insertItems } from '#config/edit.ts'
import { formatIssue } from '#config/issue.ts'
import { loadPolicies } from '#config/load.ts'
import { coversAgent } from '#policy/match.ts'
import type { Policy, Rule } from '#policy/types.ts'
import { idFor } from '#timeline/remedy.ts'
import { exit, CommandFailure, line, UsageError } from './command.ts'
import type { Command, Input, Terminal } from './command.ts'
import { homeInstance, readSettings, settingHelp, settingOptions } from './settings.ts'

const options = {
  ...settingOptions,
  agent: { type: 'string', short: 'a' },
  methods: { type: 'string' },
  paths: { type: 'string' },
  'dry-run': { type: 'boolean', short: 'n' },
} as const

const help = {
  ...settingHelp,
  agent: 'whose rule it is (default: the only agent of the policy)',
  methods: 'these methods alone, with commas',
  paths: 'these paths alone, with commas; * is one segment, ** any number',
  'dry-run': 'show the change and write nothing',
}

const settings = ['config', 'policies'] as const

export const allow: Command = {
  name: 'allow',
  summary: 'let an agent reach hosts: puts a rule into the policy, and keeps all else in the file',
  usage: '[options] HOST...',
  options: { ...options, plain: { type: 'boolean' } },
  help: { ...help, plain: 'over plain HTTP too' },
  words: 100,
  settings,
  examples: ['iron-proxy allow example.com --agent sandbox', 'iron-proxy allow "*.pypi.org" --methods GET,HEAD --dry-run'],
  run: (input, terminal) => edit('allow', input, terminal),
}

export const deny: Command = {
  name: 'deny',
  summary: 'refuse hosts to an agent: puts a rule before the one that allows them',
  usage: '[options] HOST...',
  options: { ...options, reason: { type: 'string' } },
  help: { ...help, reason: 'what the agent reads' },
  words: 100,
  settings,
  examples: ['iron-proxy deny api.github.com --methods DELETE --reason "agents delete nothing"'],
  run: (input, terminal) => edit('deny', input, terminal),
}

type Effect = 'allow' | 'deny'

interface Asked {
  readonly effect: Effect
  readonly agent: string
  readonly hosts: readonly HostPattern[]
  /** Of the new rule, after its id, agents and hosts. */
  readonly more: readonly string[]
}

async function edit(effect: Effect, { positionals, values }: Input, terminal: Terminal): Promise<number> {
  const { agent, methods, paths, plain, reason, 'dry-run': dry, ...rest } = values
  if (positionals.length === 0) throw new UsageError(`name the hosts to ${effect}`)
  const hosts = positionals.map(readPattern)
  const { settings: loaded, origins } = await readSettings({ positionals: [], values: rest }, terminal)
  if (!loaded) return exit.config
  const own = join(homeInstance(terminal), 'policies')
  const directories = origins.get('policies')?.origin === 'default' ? [loaded.policies, own] : [loaded.policies]
  const { directory, policy, who } = await findPolicy(directories, typeof agent === 'string' ? agent : undefined)
  const more = [
    ...(typeof methods === 'string' ? [`methods: [${methods.split(',').join(', ')}]`] : []),
    ...(typeof paths === 'string' ? [`paths: ${JSON.stringify(paths.split(','))}`] : []),
    ...(plain === true ? ['plain: true'] : []),
    ...(typeof reason === 'string' ? [`reason: ${JSON.stringify(reason)}`] : []),
  ]
  const asked = {
    effect,
    agent: who,
    hosts: hosts.filter((host) => more.length > 0 || !isSettled(effect, policy, who, host, terminal)),
    more,
  }
  if (asked.hosts.length === 0) return exit.ok
  const { file, before, after } = await change(directory, policy, asked)
  await checkChange(directory, file, after, asked)
  line(terminal.stdout, [`${file}:`, ...changedLines(before, after)].join('\n'))
  if (dry) line(terminal.stderr, 'nothing is written: --dry-run')
  else await replaceFile(file, after)
  return exit.ok
}

function readPattern(text: string): HostPattern {
  const pattern = parseHostPattern(text)
  if (pattern.kind === 'refused') throw new UsageError(`${JSON.stringify(text)}: ${pattern.reason}`)
  return pattern
}

/** The first of the directories whose policy has the agent. */
async function findPolicy(
  directories: readonly string[],
  asked: string | undefined,
): Promise<{ readonly directory: string; readonly policy: Policy; readonly who: string }> {
  const problems: string[] = []
  for (const directory of directories) {
    const { snapshot, issues, files } = await loadPolicies(directory)
    if (!snapshot) problems.push(...issues.filter(({ severity }) => severity === 'error').map(formatIssue))
    if (!snapshot || files.length === 0) continue
    const { policy } = snapshot
    const agents = [...policy.agents.keys()]
    if (asked === undefined && agents.length === 1 && agents[0] !== undefined) return { directory, policy, who: agents[0] }
    if (asked !== undefined && agents.includes(asked)) return { directory, policy, who: asked }
    problems.push(
      `${directory}: ${asked === undefined ? 'give an agent with -a' : `no agent is called ${JSON.stringify(asked)}`}; there is ${agents.join(', ') || 'none'}`,
    )
  }
  throw new CommandFailure(problems.join('\n') || `${directories.join(', ')}: there is no policy`, exit.config)
}

/** True where the policy says so already, which is told. */
function isSettled(effect: Effect, policy: Policy, agent: string, host: HostPattern, { stdout }: Terminal): boolean {
  const deciding = wholeHost(rulesFor(policy, agent, host))
  if ((deciding?.effect ?? 'deny') !== effect) return false
  const by = deciding ? `rule ${deciding.id} says so` : 'no rule allows it'
  line(stdout, `${patternText(host)}: nothing to change for ${agent}, ${by}`)
  return true
}

function rulesFor(policy: Policy, agent: string, host: HostPattern): readonly Rule[] {
  const covers = (rule: Rule) =>
    rule.hosts.some((each) => patternText(each) === patternText(host) || (host.kind === 'exact' && matchesHost(each, host.host)))
  return policy.rules.filter((rule) => coversAgent(rule, agent) && covers(rule))
}

/** The first rule that decides whatever is asked there. */
function wholeHost(rules: readonly Rule[]): Rule | undefined {
  return rules.find(({ methods, paths, git }) => methods === undefined && paths === undefined && git === undefined)
}

async function change(
  directory: string,
  policy: Policy,
  { effect, agent, hosts, more }: Asked,
): Promise<{ readonly file: string; readonly before: string; readonly after: string }> {
  // A refusal decides only before the rule that allows.
  const first =
    effect === 'deny'
      ? policy.rules.find((rule) => hosts.some((host) => rulesFor(policy, agent, host).includes(rule)))
      : undefined
  const file = first?.position.file ?? (await fileOf(directory, agent))
  const before = await readFile(file, 'utf8')
  const index = first && indexOf(before, first.id)
  const taken = new Set(policy.rules.map(({ id }) => id))
  const items = hosts.map((host) => {
    const wanted = effect === 'allow' ? idFor(patternText(host)) : `no-${idFor(patternText(host))}`
    let id = wanted
    for (let number = 2; taken.has(id); number += 1) id = `${wanted}-${number}`
    taken.add(id)
    const name = JSON.stringify(patternText(host))
    return [
      `id: ${id}`,
      ...(effect === 'deny' ? ['effect: deny'] : []),
      `agents: [${agent}]`,
      `hosts: [${host.kind === 'exact' ? host.host : name}]`,
      ...more,
    ]
  })
  try {
    return { file, before, after: insertItems(before, 'rules', items, index) }
  } catch (error) {
    if (error instanceof EditError) throw new CommandFailure(`${file}: ${error.message}`, exit.config)
    throw error
  }
}

/** The file that defines the agent. */
async function fileOf(directory: string, agent: string): Promise<string> {
  const names = (await readdir(directory)).filter((name) => /\.ya?ml$/.test(name) && !/\.test\.ya?ml$/.test(name)).sort()
  for (const name of names) {
    const file = join(directory, name)
    if (parseDocument(await readFile(file, 'utf8')).hasIn(['agents', agent])) return file
  }
  return join(directory, names[0] ?? 'rules.yaml')
}

function indexOf(text: string, id: string): number | undefined {
  const rules: unknown = parseDocument(text).toJS() as unknown
  const list = (rules as { readonly rules?: readonly { readonly id?: unknown }[] } | null)?.rules ?? []
  const at = list.findIndex((rule) => rule.id === id)
  return at < 0 ? undefined : at
}

/** Loads the policy as it would be, and refuses what would not load, or would decide otherwise than asked. */
async function checkChange(directory: string, file: string, after: string, { effect, agent, hosts, more }: Asked): Promise<void> {
  const trial = await mkdtemp(join(tmpdir(), 'iron-proxy-policy-'))
  try {
    for (const name of (await readdir(directory)).filter((each) => /\.ya?ml$/.test(each)))
      await copyFile(join(directory, name), join(trial, name))
    await writeFile(join(trial, basename(file)), after)
    const { snapshot, issues } = await loadPolicies(trial)
    const errors = issues
      .filter(({ severity }) => severity === 'error')
      .map((issue) => formatIssue(issue).replace(`${trial}/`, ''))
    if (!snapshot || errors.length > 0)
      throw new CommandFailure(`the policy would not load:\n${errors.join('\n')}`, exit.findings)
    if (more.length > 0) return
    for (const host of hosts) {
      const deciding = wholeHost(rulesFor(snapshot.policy, agent, host))
      if (deciding?.effect !== effect)
        throw new CommandFailure(
          `${patternText(host)}: rule ${deciding?.id} decides before a new one could; change that rule`,
          exit.findings,
        )
    }
  } finally {
    await rm(trial, { recursive: true, force: true })
  }
}

async function replaceFile(file: string, text: string): Promise<void> {
  const real = await realpath(file)
  try {
    await writeFile(`${real}.new`, text, { mode: (await stat(real)).mode & 0o777 })
    await rename(`${real}.new`, real)
  } catch (error) {
    throw new CommandFailure(`${file}: cannot be written: ${fileFault(error)}`, exit.cantCreate)
  }
}
