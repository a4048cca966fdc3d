/** Header names that are kept folded: far more than clients and servers use. */
const most = 2_000

const known = new Map<string, string>()

/**
 * A header name as servers may fold it: in lower case, and with `-` for all that is neither letter nor digit, since CGI and its heirs
 * make one character of them (RFC 3875 section 4.1.18). Every list of names is asked with this one spelling. The same few names come
 * with every request, so what was folded once is remembered.
 */
export function foldName(name: string): string {
  const found = known.get(name)
  if (found !== undefined) return found
  const folded = name.toLowerCase().replaceAll(/[^a-z0-9]/g, '-')
  if (known.size >= most) known.clear()
  // A copy of its own: a part of a head would keep the whole head in memory.
  if (name.length <= 64) known.set(Buffer.from(name, 'latin1').toString('latin1'), folded)
  return folded
}
