import { randomBytes } from 'node:crypto'

/** Something an agent or an operator can read, and the bytes in it. */
export interface Sink {
  readonly name: string
  readonly bytes: Buffer
}

/** A real value that stands where it must not, and in which spelling. Names only: a report of a leak is no leak. */
export interface Leak {
  readonly sink: string
  readonly secret: string
  readonly form: string
}

/**
 * A real value that is new on each run and differs from itself in every encoding: the run of `>` puts a `+` or `/` into
 * base64 wherever it starts.
 */
export function makeCanary(): string {
  return `canary-${randomBytes(9).toString('hex')}+/=">>>>>${randomBytes(9).toString('hex')}`
}

/** Every place where a secret stands in a sink, in any of the spellings of `formsOf`. */
export function findLeaks(secrets: Readonly<Record<string, string>>, sinks: readonly Sink[]): readonly Leak[] {
  const leaks: Leak[] = []
  for (const [secret, value] of Object.entries(secrets)) {
    const forms = Object.entries(formsOf(value))
    for (const sink of sinks) {
      for (const [form, text] of forms) {
        if (sink.bytes.includes(text, 0, 'latin1')) leaks.push({ sink: sink.name, secret, form })
      }
    }
  }
  return leaks
}

/**
 * The spellings a value may be found in. Base64 comes in three, by how many bytes stand before the value: characters
 * that its neighbours share are left out, so that each is found inside a longer text.
 */
export function formsOf(value: string): Readonly<Record<string, string>> {
  const bytes = Buffer.from(value)
  const aligned = [0, 1, 2].map((before) => alignedBase64(bytes, before))
  const url = (text: string): string => text.replaceAll('+', '-').replaceAll('/', '_')
  return {
    raw: value,
    'base64, alignment 0': aligned[0] ?? '',
    'base64, alignment 1': aligned[1] ?? '',
    'base64, alignment 2': aligned[2] ?? '',
    'base64url, alignment 0': url(aligned[0] ?? ''),
    'base64url, alignment 1': url(aligned[1] ?? ''),
    'base64url, alignment 2': url(aligned[2] ?? ''),
    percent: encodeURIComponent(value),
    'percent, lower case': encodeURIComponent(value).replace(/%../g, (code) => code.toLowerCase()),
    json: JSON.stringify(value).slice(1, -1),
    html: value.replaceAll('"', '&quot;').replaceAll('>', '&gt;'),
    'html, the slash alone in hex': value.replaceAll('/', '&#x2F;'),
    'html, hex': eachMark(value, (code) => `&#x${code.toString(16).toUpperCase()};`),
    'html, decimal without semicolons': eachMark(value, (code) => `&#${code}`),
    'percent, as Go escapes a path': encodeURIComponent(value).replaceAll('%2B', '+').replaceAll('%3D', '='),
    'javascript, as Django escapes it': eachMark(value, (code) => `\\u${code.toString(16).toUpperCase().padStart(4, '0')}`),
    'javascript, two digits': eachMark(value, (code) => `\\x${code.toString(16)}`),
    css: eachMark(value, (code) => `\\${code.toString(16)} `),
    'quoted-printable': eachMark(value, (code) => `=${code.toString(16).toUpperCase()}`),
    hex: bytes.toString('hex'),
    'hex, upper case': bytes.toString('hex').toUpperCase(),
  }
}

function eachMark(value: string, write: (code: number) => string): string {
  return value.replace(/[^A-Za-z0-9]/g, (mark) => write(mark.charCodeAt(0)))
}

function alignedBase64(bytes: Buffer, before: number): string {
  const text = Buffer.concat([Buffer.alloc(before), bytes]).toString('base64')
  return text.slice(Math.ceil((before * 8) / 6), Math.floor(((before + bytes.length) * 8) / 6))
}
