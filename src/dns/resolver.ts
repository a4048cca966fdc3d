/** One question to one resolver: a fresh socket and id each time, so that a forged reply has to guess both. */
import { randomInt } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { connect, isIPv6 } from 'node:net'
import { types } from './codes.ts'
import type { Resolver } from './names.ts'
import { readReply } from './relay.ts'
import type { RelayedAnswer } from './relay.ts'
import { headerSize, largestSize } from './wire.ts'

/** `silent`: nothing in time. `failed`: refused, broken or unreachable. */
export type Heard = RelayedAnswer | { readonly kind: 'silent' } | { readonly kind: 'failed' }

/** Milliseconds a resolver has over UDP, and again over TCP when its reply was truncated. */
export const patience = 2000

/** Asks over UDP, and over TCP when the reply is truncated. `question`: a question section. Never rejects. */
export async function askResolver(resolver: Resolver, question: Buffer, signal: AbortSignal): Promise<Heard> {
  const heard = await exchange(askUdp, resolver, question, signal)
  if (heard.kind !== 'truncated') return heard
  const whole = await exchange(askTcp, resolver, question, signal)
  return whole.kind === 'truncated' ? { kind: 'failed' } : whole
}

type Heeded = Heard | { readonly kind: 'truncated' }
/** Starts a transport; `listen` judges a message and answers whether it was the reply. Returns how to end it. */
type Transport = (resolver: Resolver, request: Buffer, listen: (message: Buffer) => boolean, fail: () => void) => () => void

function exchange(transport: Transport, resolver: Resolver, question: Buffer, signal: AbortSignal): Promise<Heeded> {
  return new Promise((resolve) => {
    const id = randomInt(0x10000)
    let end = (): void => {}
    const settle = (heard: Heeded): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', abort)
      end()
      resolve(heard)
    }
    const abort = (): void => settle({ kind: 'failed' })
    const timer = setTimeout(() => settle({ kind: 'silent' }), patience)
    signal.addEventListener('abort', abort, { once: true })
    const listen = (message: Buffer): boolean => {
      const reading = readReply(message, id, question)
      if (reading.kind === 'foreign') return false
      settle(reading.kind === 'broken' ? { kind: 'failed' } : reading)
      return true
    }
    if (signal.aborted) return abort()
    end = transport(resolver, writeRequest(id, question), listen, abort)
  })
}

/** Our own question, with nothing of the agent's message in it but the question: no options, no flags. */
function writeRequest(id: number, question: Buffer): Buffer {
  const header = Buffer.alloc(headerSize)
  header.writeUInt16BE(id, 0)
  header[2] = 0x01 // RD
  header.writeUInt16BE(1, 4)
  header.writeUInt16BE(1, 10)
  const opt = Buffer.alloc(11)
  opt.writeUInt16BE(types.OPT, 1)
  opt.writeUInt16BE(largestSize, 3)
  return Buffer.concat([header, question, opt])
}

/** A connected socket takes packets of the resolver's address and port only; the kernel drops all others. */
const askUdp: Transport = (resolver, request, listen, fail) => {
  const socket = createSocket(isIPv6(resolver.address) ? 'udp6' : 'udp4')
  let isOpen = true
  socket.on('error', fail)
  socket.on('message', listen)
  socket.connect(resolver.port, resolver.address, () => {
    if (isOpen) socket.send(request, (error) => error && fail())
  })
  return () => {
    if (isOpen) socket.close()
    isOpen = false
  }
}

/** Messages over TCP have their length before them, two bytes (RFC 1035 section 4.2.2). */
const askTcp: Transport = (resolver, request, listen, fail) => {
  const socket = connect({ host: resolver.address, port: resolver.port, noDelay: true })
  const length = Buffer.alloc(2)
  length.writeUInt16BE(request.length)
  let received = Buffer.alloc(0)
  socket.on('error', fail)
  socket.on('close', fail)
  socket.on('data', (chunk: Buffer) => {
    received = Buffer.concat([received, chunk])
    if (received.length < 2) return
    const end = 2 + received.readUInt16BE(0)
    // A stream carries the one reply we asked for: another message on it is no reply to wait past.
    if (received.length >= end && !listen(received.subarray(2, end))) fail()
  })
  socket.write(Buffer.concat([length, request]))
  return () => {
    socket.off('close', fail)
    socket.destroy()
  }
}
