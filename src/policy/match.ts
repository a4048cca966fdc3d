/** Whether a rule covers a request, and if not, what the first difference is. `decide` and `explain` both ask here. */
import { matchesHost } from '#base/host.ts'
import type { Host, HostPattern } from '#base/host.ts'
import { gitOperation, inGitScope } from './git.ts'
import type { GitOperation } from './git.ts'
import { judgePath } from './path.ts'
import type { AgentId, Ask, PathPattern, Rule } from './types.ts'

/** The first condition of a rule that a request does not meet, in the order they are looked at. */
export const conditions = ['agents', 'host', 'scheme', 'port', 'method', 'path', 'git'] as const
export type Condition = (typeof conditions)[number]

/** An ask with its path taken apart once, however many rules are compared with it. */
export interface Question {
  readonly agent: AgentId
  readonly ask: Ask
  readonly segments: readonly string[]
  readonly git: GitOperation | undefined
}

/** The ask of an agent, ready to be compared; or why its path cannot be judged. */
export function question(agent: AgentId, ask: Ask): Question | { readonly refused: string } {
  const path = judgePath(ask.path)
  if ('refused' in path) return path
  return { agent, ask, segments: path.segments, git: gitOperation(ask.method, path.segments, ask.query) }
}

/** The first condition of the rule that is not met; `undefined`: the rule matches. */
export function mismatch(rule: Rule, { agent, ask, segments, git }: Question): Condition | undefined {
  if (!coversAgent(rule, agent)) return 'agents'
  if (!coversHost(rule.hosts, ask.host)) return 'host'
  // A rule that refuses covers both schemes, or plain HTTP would be a way around it.
  if (ask.scheme === 'http' && !rule.plain && rule.effect === 'allow') return 'scheme'
  if (!coversPort(rule, ask.port)) return 'port'
  if (rule.methods && !rule.methods.has(ask.method)) return 'method'
  if (rule.paths && !rule.paths.some((pattern) => coversPath(rule, pattern, segments))) return 'path'
  if (rule.git && !(git && inGitScope(rule.git, git))) return 'git'
  return undefined
}

export function coversAgent(rule: Rule, agent: AgentId): boolean {
  return rule.agents === undefined || rule.agents.has(agent)
}

export function coversPort(rule: Rule, port: number): boolean {
  return rule.ports === undefined || rule.ports.has(port)
}

/** Whether nothing but agent, host and port decides, so that the answer is known before a request is read. */
export function isWholeHost(rule: Rule): boolean {
  return rule.methods === undefined && rule.paths === undefined && rule.git === undefined
}

function coversHost(patterns: readonly HostPattern[], host: Host): boolean {
  return patterns.some((pattern) => matchesHost(pattern, host))
}

// Many servers take `/a/B/` for `/a/b`. A rule that allows is read to the letter; one that refuses (its patterns are
// compiled in lower case) covers those too, or a slash would be a way around it.
function coversPath(rule: Rule, pattern: PathPattern, segments: readonly string[]): boolean {
  if (rule.effect === 'allow') return matchesPath(pattern, segments)
  const folded = segments.map((segment) => segment.toLowerCase())
  const bare = folded.length > 1 && folded.at(-1) === '' ? folded.slice(0, -1) : folded
  return matchesPath(pattern, folded) || matchesPath(pattern, bare)
}

/**
 * Reads a path pattern such as `/repos/*` or `/v1/**`. A literal segment is brought to the spelling of `judgePath`.
 * More than 64 segments are refused: with them the cost of a match has a ceiling.
 */
export function parsePathPattern(text: string): PathPattern | { readonly refused: string } {
  const quoted = JSON.stringify(text)
  if (!text.startsWith('/')) return { refused: `${quoted} does not start with "/"; write "/${text}"` }
  if (/[?#]/.test(text)) return { refused: `${quoted} has a query or fragment; rules see the path only` }
  const parts = text.slice(1).split('/')
  if (parts.length > 64) return { refused: `${quoted} has more than 64 segments` }
  const pattern: string[] = []
  for (const part of parts) {
    if (part === '*' || part === '**') {
      pattern.push(part)
      continue
    }
    if (part.includes('*')) {
      return { refused: `${quoted} uses "*" inside a segment; it stands for one whole segment, "**" for any number` }
    }
    const judged = judgePath(`/${part}`)
    if ('refused' in judged) return { refused: `${quoted} can match nothing: ${judged.refused}` }
    pattern.push(...judged.segments)
  }
  if (pattern.slice(0, -1).includes('')) return { refused: `${quoted} has an empty segment ("//")` }
  return pattern
}

/**
 * Compares segment by segment. On a difference only the last `**` is widened, which is enough: what came before it
 * stays matched. So the cost is at most pattern times path, whatever the pattern.
 */
export function matchesPath(pattern: PathPattern, segments: readonly string[]): boolean {
  let at = 0
  let next = 0
  let star = -1
  let resume = 0
  while (next < segments.length) {
    if (pattern[at] === '**') {
      star = at++
      resume = next
    } else if (at < pattern.length && matchesSegment(pattern[at], segments[next])) {
      at++
      next++
    } else if (star >= 0) {
      at = star + 1
      next = ++resume
    } else {
      return false
    }
  }
  while (pattern[at] === '**') at++
  return at === pattern.length
}

// The empty segment after a final slash is not "one segment".
function matchesSegment(pattern: string | undefined, segment: string | undefined): boolean {
  return pattern === '*' ? segment !== '' : pattern === segment
}
