/** A proposal as YAML with comments. */
import { patternText } from './pattern-text.ts'
import type { Proposed } from './learn.ts'
import type { LeftOut } from './traffic.ts'

/** The rules as items of a list, each with how often and by whom. `known`: credentials that the policy has. */
export function rulesYaml(rules: readonly Proposed[], known: ReadonlySet<string> | undefined, indent = '  '): string {
  return rules
    .map((rule) =>
      ruleLines(rule, known)
        .map((line) => (line === '' ? line : indent + line))
        .join('\n'),
    )
    .join('\n')
}

function ruleLines(rule: Proposed, known: ReadonlySet<string> | undefined): string[] {
  const { id, counts, host, port, plain, inspect, methods, paths, git, credentials } = rule
  const strange = credentials.filter((each) => known?.has(each) === false)
  const usable = credentials.filter((each) => !strange.includes(each))
  return [
    `# ${[...counts].map(([agent, count]) => `${agent} ${number(count)}`).join(', ')}`,
    `- id: ${id}`,
    `  agents: [${[...counts.keys()].join(', ')}]`,
    `  hosts: [${host}]`,
    ...(port === undefined ? [] : [`  ports: [${port}]`]),
    ...(plain ? ['  plain: true'] : []),
    ...(inspect ? [] : ['  inspect: false']),
    ...(methods ? [`  methods: [${methods.join(', ')}]`] : []),
    ...(paths ? ['  paths:', ...aligned(paths.map(({ segments, count }) => [patternText(segments), number(count)]))] : []),
    ...(git
      ? [
          `  git: {${scopes('fetch', git.fetch)}${git.fetch.length > 0 && git.push.length > 0 ? ', ' : ''}${scopes('push', git.push)}}`,
        ]
      : []),
    ...(usable.length > 0 ? [`  credentials: [${usable.join(', ')}]`] : []),
    ...strange.map((each) => `  # credentials: [${each}]   the policy has no credential of this name`),
    '',
  ]
}

/** What no rule allows, as comments. */
export function leftOutYaml(leftOut: readonly LeftOut[]): string {
  if (leftOut.length === 0) return ''
  const lines = leftOut.map(({ agent, what, why, count }) => `# - ${agent} ${what} (${number(count)}): ${why}`)
  return ['# Left out. Write a rule by hand where an agent needs one of these.', ...lines.map(printable), ''].join('\n')
}

/** Agents that the policy does not have, with the addresses they spoke from. */
export function agentsYaml(peers: ReadonlyMap<string, ReadonlySet<string>>): string {
  if (peers.size === 0) return ''
  const lines = [...peers].map(([agent, addresses]) => {
    const places = [...addresses].toSorted().map((address) => `{cidr: "${address}"}`)
    return `  ${agent}:\n    from: [${places.join(', ')}]`
  })
  return ['agents:', ...lines, '', ''].join('\n')
}

function aligned(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...rows.map(([path]) => scalar(path).length))
  return rows.map(([path, count]) => `    - ${scalar(path).padEnd(width)}   # ${count}`)
}

function scopes(name: string, repositories: readonly string[]): string {
  return repositories.length === 0 ? '' : `${name}: [${repositories.map(scalar).join(', ')}]`
}

/** Plain where nothing in it could be read as YAML. */
function scalar(text: string): string {
  return /^\/?[A-Za-z0-9._~-][A-Za-z0-9._~/*@+-]*$/.test(text) || text === '/' ? text : JSON.stringify(text)
}

function number(count: number): string {
  return count.toLocaleString('en')
}

// A path came from an agent: nothing of it may end the comment.
function printable(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]/g, '?')
}
