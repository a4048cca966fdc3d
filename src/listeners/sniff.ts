import type { Socket } from 'node:net'
import { HelloReader, mostHelloBytes } from './client-hello.ts'

/** What the first bytes of a connection are. */
export type FirstBytes =
  | { readonly kind: 'hello'; readonly serverName: string | undefined }
  | { readonly kind: 'http' }
  | { readonly kind: 'other' }
  | { readonly kind: 'malformed' }
  | { readonly kind: 'silent' }
  /** The client left; `began`: after it had sent something. */
  | { readonly kind: 'gone'; readonly began: boolean }

/** A request line begins with an upper-case method. */
const upperCase = { from: 0x41, to: 0x5a } as const

/**
 * Looks at what a client says first, and puts it back: whoever gets the socket next reads it all. Waits at most
 * `milliseconds`; a peer that dribbles or says nothing is `silent`.
 */
export function sniff(socket: Socket, milliseconds: number): Promise<FirstBytes> {
  return new Promise((resolve) => {
    const reader = new HelloReader()
    const held = new Held()
    const finish = (answer: FirstBytes) => {
      clearTimeout(timer)
      socket.off('readable', look).off('close', gone).off('end', gone)
      if (held.bytes.length > 0) socket.unshift(held.bytes)
      resolve(answer)
    }
    const gone = () => finish({ kind: 'gone', began: held.bytes.length > 0 })
    const look = () => {
      for (let chunk = socket.read() as Buffer | null; chunk; chunk = socket.read() as Buffer | null) {
        held.add(chunk)
      }
      const answer = classify(reader, held.bytes)
      if (answer) finish(answer)
    }
    const timer = setTimeout(() => finish({ kind: 'silent' }), milliseconds)
    socket.on('readable', look).on('close', gone).on('end', gone)
    look()
  })
}

/**
 * What came so far, in one piece: one chunk as it came, several in a buffer that doubles, so
 * that the copies together are at most three times the bytes.
 */
class Held {
  bytes: Buffer = Buffer.alloc(0)
  #room: Buffer | undefined

  add(chunk: Buffer): void {
    const have = this.bytes.length
    if (have === 0) {
      this.bytes = chunk
      return
    }
    const size = have + chunk.length
    if (!this.#room || this.#room.length < size) {
      this.#room = Buffer.allocUnsafeSlow(2 * size)
      this.bytes.copy(this.#room)
    }
    chunk.copy(this.#room, have)
    this.bytes = this.#room.subarray(0, size)
  }
}

function classify(reader: HelloReader, bytes: Buffer): FirstBytes | undefined {
  const hello = reader.read(bytes)
  switch (hello.kind) {
    case 'more':
      return bytes.length > mostHelloBytes ? { kind: 'malformed' } : undefined
    case 'not-tls': {
      const first = bytes[0] ?? 0
      return { kind: first >= upperCase.from && first <= upperCase.to ? 'http' : 'other' }
    }
    case 'malformed':
    case 'hello':
      return hello
    default:
      return hello satisfies never
  }
}
