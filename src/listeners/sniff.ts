import type { Socket } from 'node:net'
import { mostHelloBytes, readClientHello } from './client-hello.ts'

/** What the first bytes of a connection are. */
export type FirstBytes =
  | { readonly kind: 'hello'; readonly serverName: string | undefined }
  | { readonly kind: 'http' }
  | { readonly kind: 'other' }
  | { readonly kind: 'malformed' }
  | { readonly kind: 'silent' }

/** A request line begins with an upper-case method. */
const upperCase = { from: 0x41, to: 0x5a } as const

/**
 * Looks at what a client says first, and puts it back: whoever gets the socket next reads it all. Waits at most
 * `milliseconds`; a peer that dribbles, says nothing or goes away is `silent`.
 */
export function sniff(socket: Socket, milliseconds: number): Promise<FirstBytes> {
  return new Promise((resolve) => {
    let bytes: Buffer = Buffer.alloc(0)
    const finish = (answer: FirstBytes) => {
      clearTimeout(timer)
      socket.off('readable', look).off('close', gone).off('end', gone)
      if (bytes.length > 0) socket.unshift(bytes)
      resolve(answer)
    }
    const gone = () => finish({ kind: 'silent' })
    const look = () => {
      for (let chunk = socket.read() as Buffer | null; chunk; chunk = socket.read() as Buffer | null) {
        bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk])
      }
      const answer = classify(bytes)
      if (answer) finish(answer)
    }
    const timer = setTimeout(gone, milliseconds)
    socket.on('readable', look).on('close', gone).on('end', gone)
    look()
  })
}

function classify(bytes: Buffer): FirstBytes | undefined {
  const hello = readClientHello(bytes)
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
