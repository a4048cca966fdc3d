/** Whether a rule covers a request, and if not, what the first difference is. `decide` and `explain` both ask here. */
import { matchesHost } from '#base/host.ts'
import type { Host, HostPattern } from '#base/host.ts'
import { gitOperation, inGitScope } from './git.ts'
import type { GitOperation } from './git.ts'
import { judgePath } from './path.ts'
import type { Segments } from './path.ts'
import type { AgentId, Ask, PathPattern, Rule } from './types.ts'

/** The first condition of a rule that a request does not meet, in the order they are looked at. */
export const conditions = ['agents', 'host', 'scheme', 'port', 'method', 'path', 'git'] as const
export type Condition = (typeof conditions)[number]

/** A path in one reading, and the git operation that it is. */
export interface PathReading {
  readonly segments: Segments
  readonly git: GitOperation | undefined
}

/** An ask with its path taken apart once, however many rules are compared with it. */
export interface PolicyQuestion extends PathReading {
  readonly agent: AgentId
  readonly ask: Ask
  /** The path as other servers read it; see `judgePath`. */
  readonly others: readonly PathReading[]
  /** Why no rule can look at the path. */
  readonly obscure: string | undefined
}

/** The ask of an agent, ready to be compared; or why its path cannot be judged. */
export function question(agent: AgentId, ask: Ask): PolicyQuestion | { readonly refused: string } {
  const path = judgePath(ask.path)
  if ('refused' in path) return path
  const { segments, others, obscure } = path
  const { method, query } = ask
  return {
    agent,
    ask,
    segments,
    git: gitOperation(method, segments, query),
    others: others.length === 0 ? none : others.map((other) => ({ segments: other, git: gitOperation(method, other, query) })),
    obscure,
  }
}

const none: readonly never[] = []

/**
 * The first condition of the rule that is not met; `undefined`: the rule matches. Of a path that no rule can look at, `path`
 * is one that every rule with `paths` or `git` lacks.
 */
export function mismatch(rule: Rule, asked: PolicyQuestion): Condition | undefined {
  const { agent, ask } = asked
  if (!coversAgent(rule, agent)) return 'agents'
  if (!coversHost(rule.hosts, ask.host)) return 'host'
  // A rule that refuses covers both schemes, or plain HTTP would be a way around it.
  if (ask.scheme === 'http' && !rule.plain && rule.effect === 'allow') return 'scheme'
  if (!coversPort(rule, ask.port)) return 'port'
  if (rule.methods && !rule.methods.has(ask.method)) return 'method'
  if (asked.obscure !== undefined && looksAtPath(rule)) return 'path'
  if (!inEachReading(rule, asked, coversPaths)) return 'path'
  if (!inEachReading(rule, asked, coversGit)) return 'git'
  return undefined
}

/** Whether the answer of a rule may differ from path to path. */
export function looksAtPath({ paths, git }: Rule): boolean {
  return git !== undefined || (paths !== undefined && !paths.some((pattern) => pattern.length === 1 && pattern[0] === '**'))
}

// Two servers may read one path as two. What is allowed must be in every reading; what is refused is so by any of them.
function inEachReading(
  rule: Rule,
  asked: PolicyQuestion,
  meets: (rule: Rule, reading: PathReading, sent: boolean) => boolean,
): boolean {
  const covered = meets(rule, asked, true)
  if (asked.others.length === 0 || covered !== (rule.effect === 'allow')) return covered
  for (const other of asked.others) {
    if (meets(rule, other, false) !== covered) return !covered
  }
  return covered
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
  for (const pattern of patterns) if (matchesHost(pattern, host)) return true
  return false
}

// Many servers take `/a/B/` for `/a/b`. A rule that allows is read to the letter; one that refuses (its patterns are
// compiled in lower case) covers those too, or a slash would be a way around it.
function coversPaths(rule: Rule, { segments }: PathReading, sent: boolean): boolean {
  const { effect } = rule
  const paths = sent ? rule.paths : rule.otherPaths
  if (paths === undefined) return true
  for (const pattern of paths) {
    if (effect === 'allow' ? matchesPath(pattern, segments) : matchesWidely(pattern, segments)) return true
  }
  return false
}

/** The same for a pattern in lower case, in any case and with or without a final slash. */
export function matchesWidely(pattern: PathPattern, segments: Segments): boolean {
  const { length } = segments
  if (matchesPath(pattern, segments, length, true)) return true
  return length > 1 && segments[length - 1] === '' && matchesPath(pattern, segments, length - 1, true)
}

function coversGit(rule: Rule, { git }: PathReading): boolean {
  return rule.git === undefined || (git !== undefined && inGitScope(rule.git, git))
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
    const fault = 'refused' in judged ? judged.refused : judged.obscure
    if ('refused' in judged || fault !== undefined) return { refused: `${quoted} can match nothing: ${fault}` }
    pattern.push(...judged.segments)
  }
  if (pattern.slice(0, -1).includes('')) return { refused: `${quoted} has an empty segment ("//")` }
  return pattern
}

/**
 * Compares segment by segment, the first `length` of them; `fold`: in any case, with a pattern in lower case. On a difference
 * only the last `**` is widened, which is enough: what came before it stays matched. So the cost is at most pattern times
 * path, whatever the pattern.
 */
export function matchesPath(pattern: PathPattern, segments: Segments, length: number = segments.length, fold = false): boolean {
  let at = 0
  let next = 0
  let star = -1
  let resume = 0
  while (next < length) {
    if (pattern[at] === '**') {
      star = at++
      resume = next
    } else if (at < pattern.length && matchesSegment(pattern[at], segments[next], fold)) {
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
function matchesSegment(pattern: string | undefined, segment: string | undefined, fold: boolean): boolean {
  if (pattern === '*') return segment !== ''
  return pattern === segment || (fold && pattern?.length === segment?.length && pattern === segment?.toLowerCase())
}
