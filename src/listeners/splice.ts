import type { Duplex } from 'node:stream'
import type { StopSignal } from '#base/async.ts'
import { pipeline } from 'node:stream/promises'
import type { Relayed } from '#contracts/reply.ts'

/** Milliseconds without a byte in either direction after which a relay is given up. */
const idle = 60 * 60_000

/**
 * Relays bytes both ways until both sides are done, keeping half-closed connections half-closed. Resolves with what
 * passed; never rejects: a broken peer ends the relay.
 */
export async function splice(agent: Duplex, upstream: Duplex, signal: StopSignal): Promise<Relayed> {
  let bytesUp = 0
  let bytesDown = 0
  let timer: NodeJS.Timeout | undefined
  const stop = () => {
    agent.destroy()
    upstream.destroy()
  }
  const awake = () => {
    clearTimeout(timer)
    timer = setTimeout(stop, idle)
  }
  // Each pipeline listens many times over, and a socket may be of both.
  agent.setMaxListeners(32)
  upstream.setMaxListeners(32)
  agent.on('data', (chunk: Buffer) => {
    bytesUp += chunk.length
    awake()
  })
  upstream.on('data', (chunk: Buffer) => {
    bytesDown += chunk.length
    awake()
  })
  signal.addEventListener('abort', stop, { once: true })
  if (signal.aborted) stop()
  awake()
  agent.allowHalfOpen = true
  upstream.allowHalfOpen = true
  const [up, down] = await Promise.allSettled([pipeline(agent, upstream), pipeline(upstream, agent)])
  if (up.status === 'rejected' || down.status === 'rejected') stop()
  clearTimeout(timer)
  signal.removeEventListener('abort', stop)
  return { bytesUp, bytesDown }
}
