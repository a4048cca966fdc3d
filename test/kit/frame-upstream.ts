import { flags, frame, parseFrames, preface, type Frame } from './frames.ts'
import { startRawUpstream, type RawUpstream } from './raw-upstream.ts'
import type { Certificate } from './listen.ts'
import type { Wire } from './wire.ts'

/** A request as frames, for a script that answers it with frames. */
export interface FrameStream {
  readonly id: number
  /** Which connection it came on, from 1. */
  readonly connection: number
  /** What has come of its body. */
  body: string
  /** END_STREAM has come. */
  ended: boolean
  /** Resolves when the request is complete, or at the end of its connection. */
  readonly whole: Promise<void>
  readonly send: (...frames: readonly Buffer[]) => void
}

/** Frames of which END_STREAM is the only thing that tells whether a reply is complete. */
export const replyFrames = {
  head: (stream: number, fields: Buffer, flag = 0): Buffer => frame('headers', flags.endHeaders | flag, stream, fields),
  data: (stream: number, text: string, flag = 0): Buffer => frame('data', flag, stream, Buffer.from(text, 'latin1')),
  reset: (stream: number, code: number): Buffer => frame('rstStream', 0, stream, number32(code)),
  goaway: (last: number, code: number): Buffer => frame('goaway', 0, 0, Buffer.concat([number32(last), number32(code)])),
} as const

/**
 * Starts an HTTP/2 server that sends what no library would: it greets, acknowledges SETTINGS, gives windows back, and leaves each
 * stream to a script once its head has come. It reads no field of a head.
 */
export async function startFrameUpstream(
  { certificate }: { readonly certificate: Certificate },
  script: (stream: FrameStream) => void | Promise<void>,
): Promise<RawUpstream> {
  let connections = 0
  return startRawUpstream({ certificate, alpn: ['h2'] }, async (accepted) => {
    const connection = (connections += 1)
    const streams = new Map<number, FrameStream & { finish(): void }>()
    accepted.write(frame('settings', 0, 0))
    const { ending } = await accepted.read((received) => received.length >= preface.length, 10_000)
    for (let read = preface.length, open = ending === 'open'; open;) {
      const bytes = await next(accepted, read)
      open = bytes.length > 0
      for (const one of parseFrames(bytes)) {
        read += 9 + one.payload.length
        take(one)
      }
    }
    for (const stream of streams.values()) stream.finish()

    function take({ type, flags: flag, stream: id, payload }: Frame): void {
      if (type === 'settings' && (flag & flags.ack) === 0) accepted.write(frame('settings', flags.ack, 0))
      let stream = streams.get(id)
      if (type === 'headers' && !stream) {
        const { promise: whole, resolve: finish } = Promise.withResolvers<void>()
        const send = (...frames: readonly Buffer[]): void => accepted.write(Buffer.concat(frames))
        stream = { id, connection, body: '', ended: false, whole, send, finish }
        streams.set(id, stream)
        Promise.resolve(stream)
          .then(script)
          .catch(() => accepted.socket.destroy())
      }
      if (type === 'data' && stream) {
        stream.body += payload.toString('latin1')
        if (payload.length > 0)
          accepted.write(Buffer.concat([0, id].map((of) => frame('windowUpdate', 0, of, number32(payload.length)))))
      }
      if (stream && (type === 'data' || type === 'headers') && (flag & flags.endStream) !== 0) {
        stream.ended = true
        stream.finish()
      }
    }
  })
}

/** The frames behind `read` bytes, once there is a whole one; nothing at the end of the connection. */
async function next(accepted: Wire, read: number): Promise<Buffer> {
  const isThere = (received: Buffer): boolean => parseFrames(received.subarray(read)).length > 0
  const { bytes } = await accepted.read(isThere, 30_000)
  return isThere(bytes) ? bytes.subarray(read) : Buffer.alloc(0)
}

function number32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}
