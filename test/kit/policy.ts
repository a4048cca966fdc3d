import { compileFiles } from '#config/load.ts'
import type { LoadedPolicies } from '#config/load.ts'
import { formatIssue } from '#config/issue.ts'
import type { Snapshot } from '#contracts/snapshot.ts'
import { parseHost } from '#base/host.ts'
import type { Host } from '#base/host.ts'
import type { Agent, Ask } from '#policy/types.ts'

/** Loads policy text as if it stood in `policies/test.yaml`; `version` and an agent `a` are added where they are missing. */
export async function loadText(text: string): Promise<LoadedPolicies> {
  const agents = /^agents:/m.test(text) ? '' : '\nagents: {a: {from: [{cidr: 127.0.0.1}]}, b: {from: [{cidr: 127.0.0.2}]}}\n'
  const bytes = Buffer.from(`version: 1\n${text}${agents}`)
  return compileFiles('policies', [{ file: 'policies/test.yaml', bytes }])
}

/** A snapshot of policy text; throws what is wrong with it. */
export async function snapshotOf(text: string): Promise<Snapshot> {
  const { snapshot, issues } = await loadText(text)
  if (!snapshot) throw new Error(issues.map(formatIssue).join('\n'))
  return snapshot
}

export function agentOf({ policy }: Snapshot, id = 'a'): Agent {
  const agent = policy.agents.get(id)
  if (!agent) throw new Error(`no agent ${id}`)
  return agent
}

export function hostOf(name: string): Host {
  const host = parseHost(name)
  if (!host) throw new Error(`not a host: ${name}`)
  return host
}

/** `GET https://host:port/path?query` as an ask. */
export function askOf(text: string): Ask {
  const [, method, scheme, name, port, path, query] = /^(\S+) (https?):\/\/([^/:]+)(?::(\d+))?(\/[^?]*)(\?.*)?$/.exec(text) ?? []
  if (method === undefined || name === undefined || path === undefined) throw new Error(`not an ask: ${text}`)
  return {
    scheme: scheme === 'http' ? 'http' : 'https',
    host: hostOf(name),
    port: port === undefined ? (scheme === 'http' ? 80 : 443) : Number(port),
    method,
    path,
    query: query ?? '',
  }
}
