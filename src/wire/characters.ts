/** `1` at each character of a token (RFC 9110 section 5.6.2). */
export const tokenCharacters = marked(
  "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".split('').map((each) => each.charCodeAt(0)),
)

/** `1` at tab, space, visible characters and obs-text: what a field value or a reason may hold (RFC 9110 section 5.5). */
export const valueCharacters = marked([9, ...range(32, 126), ...range(128, 255)])

/** The value of a hexadecimal digit, or -1. */
export const hexValues = Int8Array.from(range(0, 255), (code) =>
  '0123456789abcdef'.indexOf(String.fromCharCode(code).toLowerCase()),
)

/** `1` at each character of an authority: userinfo, host and port (RFC 3986 section 3.2). */
export const authorityCharacters = marked(
  "-._~!$&'()*+,;=%:@[]0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    .split('')
    .map((each) => each.charCodeAt(0)),
)

export const tab = 9
export const lineFeed = 10
export const carriageReturn = 13
export const space = 32

function marked(codes: readonly number[]): Uint8Array {
  const table = new Uint8Array(256)
  for (const code of codes) table[code] = 1
  return table
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i)
}

/** Whether a text is a token (RFC 9110 section 5.6.2), as methods and header names are. */
export function isToken(text: string): boolean {
  for (let i = 0; i < text.length; i += 1) if (tokenCharacters[text.charCodeAt(i)] !== 1) return false
  return text.length > 0
}

/** Whether a text, one character a byte, can be a field value (RFC 9110 section 5.5). */
export function isFieldText(text: string): boolean {
  for (let i = 0; i < text.length; i += 1) if (valueCharacters[text.charCodeAt(i)] !== 1) return false
  return true
}
