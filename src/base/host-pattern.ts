import { matchesHost, parseHost } from './host.ts'
import type { HostPattern } from './host.ts'

/** A pattern that was not taken, and what to write instead. */
export interface PatternRefusal {
  readonly kind: 'refused'
  readonly reason: string
}

// Suffixes under which strangers can register names. Not the whole public suffix list: the few that are written often.
const sharedSuffixes = new Set(
  (
    'co.uk org.uk ac.uk gov.uk com.au com.br com.cn co.jp co.kr co.in co.nz co.za ' +
    'github.io gitlab.io pages.dev workers.dev vercel.app netlify.app herokuapp.com web.app appspot.com'
  ).split(' '),
)

/**
 * Reads a host pattern of a policy: an exact name, or `*.zone` for every name below a zone. Case and one final dot do
 * not matter. Whatever else is written is refused with what to write instead.
 */
export function parseHostPattern(text: string): HostPattern | PatternRefusal {
  const unusual = refuseSpelling(text)
  if (unusual) return refused(`"${text}" ${unusual}`)
  if (!text.includes('*')) {
    const host = parseHost(text)
    return host ? { kind: 'exact', host } : refused(`"${text}" is not a host name; use letters, digits, dots and hyphens`)
  }
  if (text === '*' || text === '**')
    return refused(`"${text}" would match every host; name the hosts, or a zone such as "*.example.com"`)
  const zone = parseHost(text.replace(/^(?:\*+\.)+/, ''))
  if (!zone)
    return refused(`"${text}" uses "*" inside a name; it stands only at the front, for every name below a zone: "*.example.com"`)
  if (!/^\*\.[^*]/.test(text)) return refused(`"${text}" has more than one "*"; "*.${zone}" already covers every depth`)
  if (!zone.includes('.') || sharedSuffixes.has(zone)) return refused(`"${text}" would match every .${zone} host; name the zone`)
  return { kind: 'below', zone }
}

/** Whether some host is covered by both patterns. */
export function patternsMeet(one: HostPattern, other: HostPattern): boolean {
  if (one.kind === 'exact') return matchesHost(other, one.host)
  if (other.kind === 'exact') return matchesHost(one, other.host)
  return one.zone === other.zone || matchesHost(one, other.zone) || matchesHost(other, one.zone)
}

/** Whether every host that `inner` covers is covered by `outer`. */
export function patternWithin(inner: HostPattern, outer: HostPattern): boolean {
  if (inner.kind === 'exact') return matchesHost(outer, inner.host)
  return outer.kind === 'below' && (outer.zone === inner.zone || matchesHost(outer, inner.zone))
}

function refuseSpelling(text: string): string | undefined {
  if (text === '') return 'is empty; name a host'
  const url = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)/i.exec(text)
  if (url) return `is a URL; write the host alone${url[1] ? `: "${url[1].replace(/:\d*$/, '')}"` : ''}`
  if (/^\[|^[0-9a-f]*:[0-9a-f:.]*:|^(?:0x[0-9a-f]*|\d+)(?:\.(?:0x[0-9a-f]*|\d+))*\.?$/i.test(text))
    return 'is an address; rules name hosts'
  const port = /^([^/@:]+):(\d*)$/.exec(text)
  if (port) return `names a port; write "${port[1]}" and the port in \`ports\` of the rule`
  if (text.includes('/')) return `has a path; write "${text.slice(0, text.indexOf('/'))}" and the path in \`paths\` of the rule`
  if (text.includes('@')) return `has a user name; write "${text.slice(text.lastIndexOf('@') + 1)}"`
  if (/[^ -~]/.test(text)) return 'is not ASCII; write the name in its xn-- form'
  if (text.startsWith('.')) return `starts with a dot; write "*${text}"`
  return undefined
}

function refused(reason: string): PatternRefusal {
  return { kind: 'refused', reason }
}
