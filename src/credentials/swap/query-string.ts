/** One parameter of a query, with where its value stands in the text. */
export interface Param {
  /** Decoded. */
  readonly name: string
  /** Decoded; empty without an equals sign. */
  readonly value: string
  /** The value as sent is `query.slice(start, end)`. */
  readonly start: number
  readonly end: number
}

/** Reads a query, with or without its question mark, as forms write it: `&` between, `+` for a space. */
export function readParams(query: string): readonly Param[] {
  const params: Param[] = []
  let from = query.startsWith('?') ? 1 : 0
  while (from < query.length) {
    const ampersand = query.indexOf('&', from)
    const end = ampersand < 0 ? query.length : ampersand
    const equals = query.indexOf('=', from)
    const start = equals < 0 || equals > end ? end : equals + 1
    const name = query.slice(from, start === end && query[end - 1] !== '=' ? end : start - 1)
    if (end > from) params.push({ name: decodeForm(name), value: decodeForm(query.slice(start, end)), start, end })
    from = end + 1
  }
  return params
}

/** Undoes percent-encoding as far as it is well-formed UTF-8; what is not stays as it came. */
export function decodePercent(text: string): string {
  if (!text.includes('%')) return text
  try {
    return decodeURIComponent(text)
  } catch {
    return text.replace(/%[0-7][0-9a-f]/gi, (octet) => String.fromCharCode(Number.parseInt(octet.slice(1), 16)))
  }
}

function decodeForm(text: string): string {
  return decodePercent(text.includes('+') ? text.replaceAll('+', ' ') : text)
}

/** Percent-encodes all but the unreserved characters of RFC 3986 section 2.3. */
export function encodePercent(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (mark) => `%${mark.charCodeAt(0).toString(16).toUpperCase()}`)
}
