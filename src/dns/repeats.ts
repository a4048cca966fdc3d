/**
 * Replies given before. Agents ask for the same few names again and again, so a question that is the same byte for byte, but for
 * its id, gets the same bytes back: nothing is read, decided or encoded anew. What is forwarded is never kept. Pure.
 */
import { LruMap } from '#base/async.ts'
import type { Exchange, Snapshot } from '#contracts/snapshot.ts'
import type { AskedQuestion, CountedQuestion } from './question-log.ts'

/** A reply over UDP, and how it was counted. */
export interface Given {
  readonly sent: Buffer
  readonly asking: AskedQuestion
  counted: CountedQuestion
}

/** Replies kept for each agent; a pod's services are a few hundred names, of two types each. */
export const keptReplies = 1024
/** A longer question has options of its own; keeping those would let an agent fill our memory. */
const longestKept = 320

/** Owns the replies of the snapshot in force; another one begins with none. */
export class Repeats {
  #snapshot: Snapshot | undefined
  readonly #agents = new Map<Exchange['agent'], LruMap<string, Given>>()

  /** What these bytes got before. */
  find({ agent, snapshot }: Pick<Exchange, 'agent' | 'snapshot'>, message: Buffer): Given | undefined {
    if (snapshot !== this.#snapshot || message.length > longestKept) return undefined
    return this.#agents.get(agent)?.get(keyOf(message))
  }

  keep({ agent, snapshot }: Pick<Exchange, 'agent' | 'snapshot'>, message: Buffer, given: Given): void {
    if (message.length > longestKept) return
    if (snapshot !== this.#snapshot) this.#agents.clear()
    this.#snapshot = snapshot
    let replies = this.#agents.get(agent)
    if (!replies) this.#agents.set(agent, (replies = new LruMap(keptReplies)))
    // A buffer of a pool would keep its neighbours too.
    const sent = Buffer.alloc(given.sent.length)
    given.sent.copy(sent)
    replies.set(keyOf(message), { ...given, sent })
  }
}

/** All but the id. Flags and options decide about the reply too. */
function keyOf(message: Buffer): string {
  return message.toString('latin1', 2)
}

/** The same reply for another id, in memory of its own: the one before may still wait to be sent. */
export function withId(reply: Buffer, question: Buffer): Buffer {
  const copy = Buffer.allocUnsafe(reply.length)
  reply.copy(copy)
  question.copy(copy, 0, 0, 2)
  return copy
}
