/** The policy of a program: its example, put into the user's directory once and edited by them from then on. */
import { readFileSync } from 'node:fs'
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parse } from 'yaml'
import { inCidr, parseAddress } from '#base/address.ts'
import { setValue } from '#config/edit.ts'
import { formatIssue } from '#config/issue.ts'
import { loadPolicies } from '#config/load.ts'
import type { Policy } from '#policy/types.ts'
import { exit, CommandFailure } from '../command.ts'
import { anyProgram } from './profiles.ts'
import type { Profile } from './profiles.ts'

/** A file of `policies/examples`, which comes with the product. */
export function exampleText(name: string): string {
  return readFileSync(new URL(`../../../policies/examples/${name}`, import.meta.url), 'utf8')
}

/** The example for agents of this machine: the program is its agent, and what it costs is counted. */
export function policyText({ example, agent, address, meters }: Profile): string {
  const text = exampleText(example).replace(/^# yaml-language-server:.*\n/, '')
  const { rules } = parse(text) as { readonly rules: readonly { readonly id: string; readonly meter?: string }[] }
  const counted = rules.flatMap(({ id, meter }, index) => {
    const wanted = meters[id]
    return wanted === undefined || meter !== undefined ? [] : [[index, wanted] as const]
  })
  const placed = setValue(text, ['agents', agent, 'from'], `[{cidr: ${address}/32}]`)
  return counted.reduceRight((edited, [index, meter]) => setValue(edited, ['rules', index, 'meter'], meter), placed)
}

/** The agent to run as, after its policy was written where the directory has none. */
export async function ensurePolicy(
  directory: string,
  profile: Profile | undefined,
  asked: string | undefined,
  written: (file: string) => void,
): Promise<{ readonly agent: string; readonly policy: Policy }> {
  const wanted = asked ?? profile?.agent ?? anyProgram.agent
  const before = (await readdir(directory).catch(() => [])).some((name) => /\.ya?ml$/.test(name))
    ? await load(directory)
    : undefined
  if (before?.agents.has(wanted)) return { agent: wanted, policy: before }
  if (asked !== undefined) {
    const known = [...(before?.agents.keys() ?? [])].join(', ') || 'none'
    throw new CommandFailure(
      `the policies in ${directory} have no agent ${JSON.stringify(asked)}; there is ${known}`,
      exit.config,
    )
  }
  const [only, other] = [...(before?.agents.keys() ?? [])]
  // A policy of the user's own, with one agent: that is who speaks.
  if (profile === undefined && only !== undefined && other === undefined && only !== anyProgram.agent && before)
    return { agent: only, policy: before }
  const file = join(directory, profile === undefined ? 'sandbox.yaml' : profile.example)
  await mkdir(join(directory, 'secrets'), { recursive: true, mode: 0o700 })
  await writeFile(file, profile === undefined ? anyProgram.policy : policyText(profile), { flag: 'wx', mode: 0o600 }).catch(
    (error: NodeJS.ErrnoException) => {
      throw new CommandFailure(
        `${file}: the policy of ${wanted} cannot be written there (${error.code}); give an agent with --agent`,
        exit.cantCreate,
      )
    },
  )
  written(file)
  return { agent: wanted, policy: await load(directory) }
}

async function load(directory: string): Promise<Policy> {
  const { snapshot, issues } = await loadPolicies(directory)
  if (snapshot) return snapshot.policy
  const errors = issues.filter(({ severity }) => severity === 'error').map(formatIssue)
  throw new CommandFailure(`the policy does not load:\n${errors.join('\n')}`, exit.config)
}

export interface Standing {
  /** Where to dial from: an address of loopback that is the agent's, where it has one. */
  readonly from: string
  /** No other agent has it, so that DNS knows the agent by it. */
  readonly alone: boolean
}

/** Where the agent stands for the proxy. Throws where the run of an agent would be taken for another. */
export function standingOf(policy: Policy, agent: string): Standing {
  const own = policy.agents
    .get(agent)
    ?.cidrs.map(({ text }) => text.replace(/\/.*$/, ''))
    .find((address) => address.startsWith('127.'))
  const from = own === undefined ? '127.0.0.1' : own.endsWith('.0') ? own.replace(/\.0$/, '.1') : own
  const address = parseAddress(from)
  const there = [...policy.agents.values()].filter(({ cidrs }) => address && cidrs.some((cidr) => inCidr(address, cidr)))
  if (there.length > 0 && !there.some(({ id }) => id === agent))
    throw new CommandFailure(
      `${from} is an address of agent ${there[0]?.id}, so that a run of ${agent} would be refused there; give ${agent} an address of its own in 127.0.0.0/8, or narrow that range`,
      exit.config,
    )
  return { from, alone: there.length === 1 }
}
