/**
 * URLs that were presigned with Signature Version 4, https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html:
 * what of their query says how they were signed.
 */
import { ProxyError } from '#base/errors.ts'
import { readPresignedClaim } from './claim.ts'
import type { AwsClaim } from './claim.ts'
import { encodePercent, readParams } from '../swap/query-string.ts'

/** Parameters that are written anew. */
const replaced: ReadonlySet<string> = new Set(
  ['Algorithm', 'Credential', 'Date', 'Expires', 'SignedHeaders', 'Signature', 'Security-Token'].map(
    (name) => `x-amz-${name.toLowerCase()}`,
  ),
)

/** Seconds for which the new URL is good: it is used at once, and a host may hand it out in a redirect. */
const longest = 300

export interface Presigned {
  readonly claim: AwsClaim
  /** The rest of the query, as it was sent. */
  readonly rest: string
  /** Seconds for which it is still good, at most `longest`. */
  readonly expiresIn: number
  /** The hash of the body that the URL says; `undefined`: it says none. */
  readonly hash: string | undefined
}

/** `undefined`: the query presigns nothing. `now`: milliseconds since the epoch. Throws `bad_credential`. */
export function readPresigned(query: string, now: number): Presigned | undefined {
  const params = readParams(query)
  const values = new Map<string, string>()
  for (const { name, value } of params) {
    const folded = name.toLowerCase()
    if (!folded.startsWith('x-amz-')) continue
    if (replaced.has(folded) && values.has(folded)) throw bad(`${name} stands twice in the query`)
    values.set(folded, value)
  }
  const credential = values.get('x-amz-credential')
  if (credential === undefined) return undefined
  const algorithm = values.get('x-amz-algorithm')
  if (algorithm !== 'AWS4-HMAC-SHA256') throw bad('X-Amz-Algorithm is not AWS4-HMAC-SHA256')
  const claim = readPresignedClaim(credential, values.get('x-amz-signedheaders') ?? '')
  if (!claim || !/^[0-9a-f]{64}$/.test(values.get('x-amz-signature') ?? '')) throw bad('the URL is not presigned as a whole')
  const left = secondsLeft(values.get('x-amz-date') ?? '', values.get('x-amz-expires') ?? '', now)
  if (left <= 0) throw bad('the presigned URL has expired; presign it again')
  return {
    claim,
    rest: restOf(query, params),
    expiresIn: Math.min(left, longest),
    hash: values.get('x-amz-content-sha256'),
  }
}

function restOf(query: string, params: ReturnType<typeof readParams>): string {
  const kept: string[] = []
  for (const [i, { name, end }] of params.entries()) {
    const from = i === 0 ? query.search(/[^?&]/) : (params[i - 1]?.end ?? 0) + 1
    if (!replaced.has(name.toLowerCase())) kept.push(query.slice(from, end))
  }
  return kept.length === 0 ? '' : `?${kept.join('&')}`
}

function secondsLeft(date: string, expires: string, now: number): number {
  const [, year, month, day, hour, minute, second] = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(date) ?? []
  const at = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`)
  // S3 takes no more than a week.
  if (Number.isNaN(at) || !/^\d{1,6}$/.test(expires)) throw bad('X-Amz-Date or X-Amz-Expires of the presigned URL cannot be read')
  return Math.ceil((at - now) / 1000) + Math.min(Number(expires), 604_800)
}

/** The query with what signing added. */
export function presignedQuery(rest: string, added: Readonly<Record<string, unknown>>): string {
  const texts = Object.entries(added).flatMap(([name, value]) =>
    replaced.has(name.toLowerCase()) ? [`${name}=${encodePercent(String(value))}`] : [],
  )
  return `${rest === '' ? '?' : `${rest}&`}${texts.join('&')}`
}

function bad(message: string): ProxyError {
  return new ProxyError('bad_credential', message)
}
