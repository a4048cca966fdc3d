/** Version, trace id, parent id and flags; later versions may say more (W3C Trace Context, section 3.2.2). */
const traceparent = /^(?!ff)[\da-f]{2}-(?!0{32})([\da-f]{32})-(?!0{16})[\da-f]{16}-[\da-f]{2}(?:$|-)/

/** The trace that a `traceparent` names; empty where it is none. */
export function traceIdOf(value: string): string {
  const [whole = '', id = ''] = traceparent.exec(value) ?? []
  // Version 00 has these four fields and no more.
  return value.startsWith('00-') && value.length !== whole.length ? '' : id
}
