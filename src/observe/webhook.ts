import { checkServerIdentity } from 'node:tls'
import { withoutCommonName } from '#base/certificate-name.ts'
import type { Agent } from 'undici'

/** Milliseconds the receiver may take, and how often it is tried. */
const limits = { patience: 10_000, attempts: 5, pause: 2_000 } as const
/** Alerts waiting to be delivered; past it the oldest is dropped. */
const most = 100

/**
 * Delivers alerts to one URL of the operator's, in order, each with a few attempts. Nothing waits for it: what cannot be
 * delivered is told to `onFailure` and given up.
 */
export class Webhook {
  readonly #url: string
  readonly #onFailure: (detail: string) => void
  readonly #queue: object[] = []
  readonly #stop = new AbortController()
  #running: Promise<void> | undefined
  #agent: Agent | undefined

  constructor(url: string, onFailure: (detail: string) => void) {
    this.#url = url
    this.#onFailure = onFailure
  }

  send(body: object): void {
    this.#queue.push(body)
    if (this.#queue.length > most) {
      this.#queue.shift()
      this.#onFailure('too many alerts are waiting; the oldest was dropped')
    }
    this.#running ??= this.#work().finally(() => (this.#running = undefined))
  }

  /** Gives what is under way a moment to end. */
  async close(): Promise<void> {
    const late = setTimeout(() => this.#stop.abort(), 1_000)
    await this.#running
    clearTimeout(late)
    await this.#agent?.destroy()
  }

  async #work(): Promise<void> {
    for (let body = this.#queue.shift(); body !== undefined && !this.#stop.signal.aborted; body = this.#queue.shift()) {
      const problem = await this.#deliver(body)
      if (problem !== undefined) this.#onFailure(problem)
    }
  }

  /** `undefined`: delivered; else what kept it from being so. */
  async #deliver(body: object): Promise<string | undefined> {
    let problem = ''
    for (let attempt = 0; attempt < limits.attempts && !this.#stop.signal.aborted; attempt += 1) {
      if (attempt > 0) await pause(limits.pause * attempt, this.#stop.signal)
      try {
        // Loaded with the first alert: most processes send none, and it is 8 MiB and 40 ms of their start.
        const { Agent, fetch } = await import('undici')
        this.#agent ??= new Agent({
          connect: { checkServerIdentity: (host, certificate) => checkServerIdentity(host, withoutCommonName(certificate)) },
        })
        const reply = await fetch(this.#url, {
          method: 'POST',
          headers: { 'content-type': 'application/json', 'user-agent': 'iron-proxy' },
          body: JSON.stringify(body),
          redirect: 'error',
          dispatcher: this.#agent,
          signal: AbortSignal.any([this.#stop.signal, AbortSignal.timeout(limits.patience)]),
        })
        await reply.body?.cancel()
        if (reply.ok) return undefined
        problem = `the receiver answered ${reply.status}`
      } catch (error) {
        problem = `the receiver cannot be reached: ${reasonOf(error)}`
      }
    }
    return problem
  }
}

function reasonOf(error: unknown): string {
  const { cause, message } = error as { cause?: { code?: string; message?: string }; message?: string }
  return cause?.code ?? cause?.message ?? message ?? 'unknown'
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, milliseconds)
  signal.addEventListener('abort', () => resolve(), { once: true })
  return promise.finally(() => clearTimeout(timer))
}
