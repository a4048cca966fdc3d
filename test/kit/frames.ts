/** HTTP/2 as bytes (RFC 9113 section 4): for what no client library would write. Nothing is indexed and nothing is Huffman. */

export const frameTypes = {
  data: 0,
  headers: 1,
  priority: 2,
  rstStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const
export type FrameType = keyof typeof frameTypes

export const flags = { endStream: 0x1, endHeaders: 0x4, padded: 0x8, ack: 0x1 } as const

export const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')

/** What a client says first: the preface and an empty SETTINGS. */
export const greeting = Buffer.concat([preface, frame('settings', 0, 0)])

export interface Frame {
  readonly type: FrameType | number
  readonly flags: number
  readonly stream: number
  readonly payload: Buffer
}

export function frame(type: FrameType | number, flag: number, stream: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = typeof type === 'number' ? type : frameTypes[type]
  head[4] = flag
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

/** A header block of literals, one character a byte (RFC 7541 section 6.2.2). */
export function block(...fields: readonly (readonly [string, string])[]): Buffer {
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.from([0]), literal(name), literal(value)]))
}

/** A HEADERS frame that ends its stream. */
export function request(
  stream: number,
  fields: readonly (readonly [string, string])[],
  flag: number = flags.endStream | flags.endHeaders,
): Buffer {
  return frame('headers', flag, stream, block(...fields))
}

/** The pseudo-headers of a request that is in order. */
export function pseudo(authority: string, path = '/json', method = 'GET'): readonly (readonly [string, string])[] {
  return [
    [':method', method],
    [':scheme', 'https'],
    [':authority', authority],
    [':path', path],
  ]
}

/** The whole frames in what was read. */
export function parseFrames(bytes: Buffer): readonly Frame[] {
  const frames: Frame[] = []
  for (let at = 0; at + 9 <= bytes.length;) {
    const end = at + 9 + bytes.readUIntBE(at, 3)
    if (end > bytes.length) break
    const number = bytes[at + 3] ?? 0
    const type = (Object.keys(frameTypes) as FrameType[]).find((name) => frameTypes[name] === number) ?? number
    frames.push({
      type,
      flags: bytes[at + 4] ?? 0,
      stream: bytes.readUInt32BE(at + 5) & 0x7fffffff,
      payload: bytes.subarray(at + 9, end),
    })
    at = end
  }
  return frames
}

/** Whether a stream has come to its end, or the whole session has. */
export function ended(stream: number): (received: Buffer) => boolean {
  return (received) =>
    parseFrames(received).some(
      ({ type, stream: of, flags: flag }) =>
        type === 'goaway' ||
        (of === stream && (type === 'rstStream' || ((type === 'data' || type === 'headers') && (flag & flags.endStream) !== 0))),
    )
}

function literal(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1')
  return Buffer.concat([integer(bytes.length), bytes])
}

/** An integer with a prefix of seven bits (RFC 7541 section 5.1). */
function integer(value: number): Buffer {
  if (value < 127) return Buffer.from([value])
  const bytes = [127]
  let left = value - 127
  for (; left >= 128; left = Math.floor(left / 128)) bytes.push((left % 128) + 128)
  return Buffer.from([...bytes, left])
}
