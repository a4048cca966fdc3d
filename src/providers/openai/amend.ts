/** Streams of chat completions report their usage only when asked: this asks, and takes the answer out again. */
import { member } from '../count.ts'
import type { Amended, Asked, ReplyFilter } from '../types.ts'

const openBrace = 0x7b
const closeBrace = 0x7d
const lineFeed = 0x0a
/** Bytes: `data:{"choices":[],"usage":{}}` and its end. */
const leastChunk = 30
const carriageReturn = 0x0d
/** Bytes of an event that is looked at whole; the usage chunk has a few hundred. */
const mostEvent = 64 * 1024

/** What strict servers name when they refuse it. */
const added = ['stream_options', 'include_usage'] as const

/**
 * Sets `stream_options.include_usage` where a stream is asked for without it. Nothing else in the body changes. Source:
 * platform.openai.com/docs/api-reference/chat/create#chat-create-stream_options. `undefined`: there is nothing to ask.
 */
export function askForUsage(body: Uint8Array, { stream, usageAsked, hasOptions }: Asked): Amended | undefined {
  if (!stream || usageAsked) return undefined
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  const amended = hasOptions ? rewritten(bytes) : inserted(bytes)
  return amended && { body: amended, fields: added, filter: () => new UsageFilter() }
}

/** Everything stays as it is, byte for byte, and one member more stands at the end. */
function inserted(bytes: Buffer): Buffer | undefined {
  const open = bytes.indexOf(openBrace)
  const close = bytes.lastIndexOf(closeBrace)
  if (open < 0 || close < open) return undefined
  const empty = close - open < 64 && bytes.toString('latin1', open + 1, close).trim() === ''
  const addition = `${empty ? '' : ','}"stream_options":{"include_usage":true}`
  return Buffer.concat([bytes.subarray(0, close), Buffer.from(addition), bytes.subarray(close)])
}

/** Of a key that stands twice, some servers take the first, some the last, and some neither: the one there is must change. */
function rewritten(bytes: Buffer): Buffer | undefined {
  try {
    const document = JSON.parse(bytes.toString('utf8')) as Record<string, unknown>
    const given = document['stream_options']
    const options = { ...(typeof given === 'object' ? given : undefined), include_usage: true }
    return Buffer.from(JSON.stringify({ ...document, stream_options: options }))
  } catch {
    return undefined
  }
}

/**
 * Takes the chunk out that holds the usage and no choice, which clients that did not ask for it trip over. Bytes wait for the end
 * of their event, as a client would wait too; an event too long to be that chunk passes at once.
 */
class UsageFilter implements ReplyFilter {
  #held: Buffer[] = []
  #size = 0
  #passing = false
  /** The last two bytes of the chunk before. */
  #tail = Buffer.alloc(0)

  push(chunk: Uint8Array): Uint8Array {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    const out: Buffer[] = []
    const byteAt = (at: number) => (at < 0 ? this.#tail.at(at) : bytes[at])
    /** Where what has not gone out begins, and the event that is open. */
    let from = 0
    let opened = 0
    for (let feed = bytes.indexOf(lineFeed); feed >= 0; feed = bytes.indexOf(lineFeed, feed + 1)) {
      const before = byteAt(feed - 1)
      const empty = before === lineFeed || (before === carriageReturn && byteAt(feed - 2) === lineFeed)
      if (!empty) continue
      const end = feed + 1
      if (this.#passing || this.#size > 0) {
        out.push(...this.#close(bytes.subarray(opened, end)))
        from = end
      } else if (end - opened >= leastChunk && isUsageChunk(bytes.subarray(opened, end))) {
        // All that pass stay in one piece: a chunk may be nothing but ends of events.
        if (opened > from) out.push(bytes.subarray(from, opened))
        from = end
      }
      opened = end
    }
    if (opened > from) out.push(bytes.subarray(from, opened))
    this.#tail = Buffer.concat([this.#tail, bytes.subarray(-2)]).subarray(-2)
    if (opened < bytes.length) out.push(...this.#keep(bytes.subarray(opened)))
    return Buffer.concat(out)
  }

  end(): Uint8Array {
    return Buffer.concat(this.#close(Buffer.alloc(0)))
  }

  /** An event ends with these bytes. */
  #close(last: Buffer): readonly Buffer[] {
    const event = [...this.#held, last]
    const passed = this.#passing
    this.#held = []
    this.#size = 0
    this.#passing = false
    return passed || !isUsageChunk(Buffer.concat(event)) ? event : []
  }

  #keep(bytes: Buffer): readonly Buffer[] {
    if (this.#passing) return [bytes]
    this.#held.push(Buffer.from(bytes))
    this.#size += bytes.length
    if (this.#size <= mostEvent) return []
    const held = this.#held
    this.#held = []
    this.#passing = true
    return held
  }
}

function isUsageChunk(event: Buffer): boolean {
  // What throws costs ten times what passes.
  if (!event.includes('"usage"') || !event.includes('"choices"')) return false
  const data = event
    .toString('utf8')
    .split(/\r\n|\r|\n/)
    .filter((line) => line.startsWith('data:'))
    .map((line) => line.slice(5))
  try {
    const chunk: unknown = JSON.parse(data.join('\n'))
    const choices = member(chunk, 'choices')
    const usage = member(chunk, 'usage')
    return Array.isArray(choices) && choices.length === 0 && typeof usage === 'object' && usage !== null
  } catch {
    return false
  }
}
