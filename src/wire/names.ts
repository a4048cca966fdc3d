/**
 * The field names that the proxy reads, each with its id, so that a name is compared once and never made into lower case. Ids are
 * places in this list and mean nothing outside the process; 0 is a name that is not listed.
 */
export const listedNames = [
  '',
  'accept',
  'accept-encoding',
  'api-key',
  'authorization',
  'connection',
  'content-encoding',
  'content-length',
  'content-type',
  'cookie',
  'expect',
  'host',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'set-cookie',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'x-api-key',
  'x-goog-api-key',
  'x-run-id',
] as const

export type ListedName = Exclude<(typeof listedNames)[number], ''>

/** The id of a listed name, for comparing with the ids of a field block. */
export function idOf(name: ListedName): number {
  return listedNames.indexOf(name)
}

export const connectionId = idOf('connection')
export const contentLengthId = idOf('content-length')
export const expectId = idOf('expect')
export const transferEncodingId = idOf('transfer-encoding')

/** Framing, routing and the connection: after a body nothing looks for them (RFC 9110 section 6.5.1). */
const neverTrailers: ReadonlySet<number> = new Set(
  (
    [
      'authorization',
      'connection',
      'content-encoding',
      'content-length',
      'content-type',
      'cookie',
      'expect',
      'host',
      'keep-alive',
      'proxy-authenticate',
      'proxy-authorization',
      'proxy-connection',
      'set-cookie',
      'te',
      'trailer',
      'transfer-encoding',
      'upgrade',
    ] as const
  ).map(idOf),
)

/** Whether a field with this id may stand in a trailer block. */
export function isTrailer(id: number): boolean {
  return !neverTrailers.has(id)
}

/** Ids by the length of a name and the last five bits of its first letter, which upper and lower case share. */
const buckets: readonly (readonly number[] | undefined)[] = bucketsOf(listedNames)

/**
 * The folded id of the name at `from` up to `to`. Case folds, and `_` counts as `-`: CGI and WSGI servers read `Content_Length` as
 * Content-Length, so a name that could be read as a listed one is that one here.
 */
export function foldedId(text: string, from: number, to: number): number {
  const ids = buckets[((to - from) << 5) | (text.charCodeAt(from) & 31)]
  if (ids === undefined) return 0
  for (const id of ids) if (isFolded(text, from, listedNames[id] ?? '')) return id
  return 0
}

/** Whether the text at `from` is this but for its case; `lower` is in lower case. */
export function isCaseless(text: string, from: number, lower: string): boolean {
  for (let i = 0; i < lower.length; i += 1) {
    const code = text.charCodeAt(from + i)
    if ((code >= 65 && code <= 90 ? code | 32 : code) !== lower.charCodeAt(i)) return false
  }
  return true
}

function isFolded(text: string, from: number, lower: string): boolean {
  for (let i = 0; i < lower.length; i += 1) {
    const code = text.charCodeAt(from + i)
    const folded = code >= 65 && code <= 90 ? code | 32 : code === 95 ? 45 : code
    if (folded !== lower.charCodeAt(i)) return false
  }
  return true
}

function bucketsOf(names: readonly string[]): (readonly number[] | undefined)[] {
  const longest = Math.max(...names.map((name) => name.length))
  const table = Array.from<number[] | undefined>({ length: (longest + 1) << 5 })
  for (const [id, name] of names.entries()) {
    if (id === 0) continue
    const bucket = (name.length << 5) | (name.charCodeAt(0) & 31)
    table[bucket] = [...(table[bucket] ?? []), id]
  }
  return table
}
