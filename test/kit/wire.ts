import type { Duplex } from 'node:stream'
import { setTimeout as after } from 'node:timers'

/** How the other side left: it has not, it closed in order, or it reset or broke the connection. */
export type Ending = 'open' | 'closed' | 'reset'

/** Answers whether the bytes so far are enough. */
export type Until = (received: Buffer) => boolean

export interface Reading {
  /** All bytes since the wire was made, or since the last `forget`. */
  readonly bytes: Buffer
  readonly ending: Ending
  readonly timedOut: boolean
}

/** A socket read as bytes: nothing is parsed, nothing is lost, and its end is told. */
export interface Wire {
  readonly socket: Duplex
  write(bytes: string | Uint8Array): void
  /** Reads until `until` is satisfied, the other side leaves, or `timeout` milliseconds pass. Never throws. */
  read(until?: Until, timeout?: number): Promise<Reading>
  /** Drops what was read so far. */
  forget(): void
}

/** Text in Latin-1, so that a string is the bytes it shows. */
export function contains(text: string): Until {
  return (received) => received.includes(text, 0, 'latin1')
}

export function atLeast(count: number): Until {
  return (received) => received.length >= count
}

/** Wraps a connected socket; it must have no other reader. */
export function wire(socket: Duplex): Wire {
  let chunks: Buffer[] = []
  let ending: Ending = 'open'
  let wake = (): void => {}

  socket.on('data', (bytes: Buffer) => {
    chunks.push(bytes)
    wake()
  })
  socket.on('end', () => leave('closed'))
  socket.on('error', () => leave('reset'))
  socket.on('close', () => leave('closed'))

  function leave(how: Ending): void {
    if (ending === 'open') ending = how
    wake()
  }

  function received(): Buffer {
    if (chunks.length > 1) chunks = [Buffer.concat(chunks)]
    return chunks[0] ?? Buffer.alloc(0)
  }

  function read(until: Until = () => false, timeout = 5000): Promise<Reading> {
    const { promise, resolve } = Promise.withResolvers<Reading>()
    const done = (timedOut: boolean): void => {
      clearTimeout(timer)
      wake = () => {}
      resolve({ bytes: received(), ending, timedOut })
    }
    const timer = after(() => done(true), timeout)
    wake = () => {
      if (ending !== 'open' || until(received())) done(false)
    }
    wake()
    return promise
  }

  return {
    socket,
    write: (bytes) => void socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes),
    read,
    forget: () => void (chunks = []),
  }
}
