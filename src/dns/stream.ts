/** DNS over TCP (RFC 7766): one connection, any number of questions, replies in the order they are ready. */
import type { Socket } from 'node:net'

/** Answers one message; `undefined`: nothing is said. Never throws. */
export type Respond = (message: Buffer) => Buffer | undefined | Promise<Buffer | undefined>

/** Milliseconds without a whole question, or without the client taking replies, after which a connection ends. */
export const idleTimeout = 10_000
/** A question with its options is short; a longer length is not waited for. */
export const longestMessage = 4096

/** Serves a connection until its client leaves, is idle, or sends something that cannot be a question. */
export function serveStream(socket: Socket, respond: Respond): void {
  let pending: Buffer = Buffer.alloc(0)
  let awaited = 0
  let isEnding = false
  // Restarted by whole questions only, so that one byte now and then does not hold the connection.
  const idle = setTimeout(() => (awaited > 0 ? idle.refresh() : socket.destroy()), idleTimeout)
  const endWhenDone = (): void => {
    if (isEnding && awaited === 0) socket.end()
  }
  socket.on('error', () => socket.destroy())
  socket.on('close', () => clearTimeout(idle))
  socket.on('drain', () => socket.resume())
  socket.on('end', () => {
    isEnding = true
    endWhenDone()
  })
  socket.on('data', (chunk: Buffer) => {
    pending = pending.length > 0 ? Buffer.concat([pending, chunk]) : chunk
    socket.cork()
    let at = 0
    while (pending.length - at >= 2) {
      const length = pending.readUInt16BE(at)
      if (length < shortestMessage || length > longestMessage) return giveUp()
      if (pending.length - at < 2 + length) break
      take(pending.subarray(at + 2, at + 2 + length))
      at += 2 + length
    }
    pending = pending.subarray(at)
    socket.uncork()
    // A client that asks without reading must not fill our memory with replies.
    if (socket.writableNeedDrain) socket.pause()
  })

  function giveUp(): void {
    void respond(Buffer.alloc(0)) // Counted as malformed; nothing is said to it.
    socket.destroy()
  }

  function take(message: Buffer): void {
    idle.refresh()
    const reply = respond(message)
    if (!(reply instanceof Promise)) return send(reply)
    awaited += 1
    void reply.then((late) => {
      awaited -= 1
      if (!socket.destroyed) idle.refresh()
      send(late)
      endWhenDone()
    })
  }

  function send(reply: Buffer | undefined): void {
    if (!reply || socket.destroyed) return
    const length = Buffer.allocUnsafe(2)
    length.writeUInt16BE(reply.length)
    socket.write(length)
    socket.write(reply)
  }
}

/** A header. */
const shortestMessage = 12
