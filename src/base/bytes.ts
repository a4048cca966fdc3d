const strictBase64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==)?|[A-Za-z0-9+/]{3}=?)?$/

/**
 * Decodes standard base64 (RFC 4648 section 4) as Latin-1 text, one character a byte, so that nothing is lost.
 * Padding may be left out; anything else a lenient decoder would skip is refused with `undefined`.
 */
export function decodeBase64(text: string): string | undefined {
  return strictBase64.test(text) ? Buffer.from(text, 'base64').toString('latin1') : undefined
}

/** Encodes Latin-1 text, one byte a character, as padded standard base64. */
export function encodeBase64(latin1: string): string {
  return Buffer.from(latin1, 'latin1').toString('base64')
}

/** The UTF-8 bytes of a text, one character a byte: the form in which header values go over the wire. */
export function asLatin1(text: string): string {
  return /[^\0-\x7f]/.test(text) ? Buffer.from(text, 'utf8').toString('latin1') : text
}
