import { errorOf, packed } from './fault.ts'
import type { Fault } from './fault.ts'

/** What one side can be asked and told: plain functions of what a message can carry. */
export type Side = object
type Verb<Of extends Side> = keyof Of & string
type Taken<Act> = Act extends (...args: infer Args) => unknown ? Args : never
type Given<Act> = Act extends (...args: never[]) => infer Result ? Awaited<Result> : never

type Message =
  /** Without `seq` nobody waits for an answer. */
  | { readonly kind: 'call'; readonly verb: string; readonly args: readonly unknown[]; readonly seq?: number }
  | { readonly kind: 'result'; readonly seq: number; readonly result: unknown }
  | { readonly kind: 'fault'; readonly seq: number; readonly fault: Fault }

/** A port or a thread, of which this much is used. */
export interface Wire {
  postMessage(message: unknown): void
  on(event: string, act: (message: Message) => void): unknown
}

interface Waiting {
  readonly resolve: (result: never) => void
  readonly reject: (error: Error) => void
}

/**
 * One end of what connects two threads. Messages arrive in the order they were sent, asked or told. A message that nobody
 * understands is a bug of ours, and what is told and throws is one too: either ends the thread.
 */
export class Line<Theirs extends Side> {
  readonly #port: Wire
  readonly #waiting = new Map<number, Waiting>()
  #seq = 0
  #ended = false

  constructor(port: Wire, mine: Side) {
    this.#port = port
    port.on('message', (message: Message) => this.#take(message, mine))
  }

  /** Throws what the other side throws, as far as it is an error of ours, and an Error when that side has ended. */
  ask<Which extends Verb<Theirs>>(verb: Which, ...args: Taken<Theirs[Which]>): Promise<Given<Theirs[Which]>> {
    if (this.#ended) return Promise.reject(ended())
    this.#seq += 1
    const seq = this.#seq
    return new Promise<Given<Theirs[Which]>>((resolve, reject) => {
      this.#send({ kind: 'call', verb, args, seq })
      this.#waiting.set(seq, { resolve, reject })
    })
  }

  tell<Which extends Verb<Theirs>>(verb: Which, ...args: Taken<Theirs[Which]>): void {
    if (!this.#ended) this.#send({ kind: 'call', verb, args })
  }

  /** The other side is gone. */
  end(): void {
    this.#ended = true
    for (const { reject } of this.#waiting.values()) reject(ended())
    this.#waiting.clear()
  }

  #send(message: Message): void {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
    this.#port.postMessage(message)
  }

  #take(message: Message, mine: Side): void {
    if (message.kind !== 'call') return this.#answered(message)
    const { verb, args, seq } = message
    const act: unknown = Reflect.get(mine, verb)
    if (typeof act !== 'function') throw new Error(`nobody understands "${verb}"`)
    if (seq === undefined) return void Reflect.apply(act, mine, args)
    void answer(() => Reflect.apply(act, mine, args))
      .then((given) => this.#send({ seq, ...given }))
      // What no message can carry is a bug of ours; whoever waits is told of it.
      .catch((error: unknown) => this.#send({ kind: 'fault', seq, fault: packed(error) }))
  }

  #answered(message: Exclude<Message, { kind: 'call' }>): void {
    const waiting = this.#waiting.get(message.seq)
    this.#waiting.delete(message.seq)
    if (message.kind === 'fault') waiting?.reject(errorOf(message.fault))
    else waiting?.resolve(message.result as never)
  }
}

async function answer(act: () => unknown) {
  try {
    return { kind: 'result', result: await act() } as const
  } catch (error) {
    return { kind: 'fault', fault: packed(error) } as const
  }
}

function ended(): Error {
  return new Error('the thread that was asked has ended')
}
