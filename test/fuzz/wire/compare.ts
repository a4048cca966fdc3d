import type { Message, Reading } from './readings.ts'

/**
 * How two readings disagree. `theirs refuse`: we took what they refuse. `we refuse`: the other way round, from message `at` on.
 * `differently`: both took it, and understood something else.
 */
export type Verdict =
  | { readonly kind: 'alike' }
  | { readonly kind: 'they refuse' | 'we refuse' | 'differently'; readonly at: number; readonly what: string }

export function compare(ours: Reading, theirs: Reading, withoutVersion = false): Verdict {
  const count = Math.min(ours.messages.length, theirs.messages.length)
  for (let at = 0; at < count; at += 1) {
    const our = ours.messages[at] as Message
    const their = theirs.messages[at] as Message
    const what = differenceOf(our, their, withoutVersion)
    if (what !== undefined) return { kind: 'differently', at, what }
    // An upgrade is for our driver to see; llhttp stops behind one by itself.
    if (our.complete && their.complete && their.switches) return { kind: 'alike' }
    if (our.complete && their.complete) continue
    if (our.complete !== their.complete) {
      const kind = our.complete ? 'they refuse' : 'we refuse'
      return { kind, at, what: (our.complete ? theirs : ours).refusal ?? 'without saying so' }
    }
  }
  // Some refuse a message before they give out its head, and some behind it.
  if (
    ours.refusal !== undefined &&
    theirs.refusal !== undefined &&
    [...ours.messages, ...theirs.messages].slice(2 * count).every(({ complete }) => !complete)
  )
    return { kind: 'alike' }
  const more = ours.messages.length - theirs.messages.length
  if (more > 0 || (more === 0 && theirs.refusal !== undefined && ours.refusal === undefined))
    return { kind: 'they refuse', at: count, what: theirs.refusal ?? 'without saying so' }
  if (more < 0 || (more === 0 && ours.refusal !== undefined && theirs.refusal === undefined))
    return { kind: 'we refuse', at: count, what: ours.refusal ?? 'without saying so' }
  return { kind: 'alike' }
}

function differenceOf(our: Message, their: Message, withoutVersion: boolean): string | undefined {
  const head = withoutVersion ? our.head.slice(our.head.indexOf('\n') + 1) : our.head
  if (head !== their.head) return `head ${JSON.stringify([head, their.head])}`
  if (our.last !== their.last && !our.switches) return `last ${our.last} ${their.last}`
  if (our.complete && their.complete && our.trailers !== their.trailers)
    return `trailers ${JSON.stringify([our.trailers, their.trailers])}`
  // One that refuses may have given out more of the body before it did.
  const same =
    our.complete && their.complete ? our.body === their.body : our.body.startsWith(their.body) || their.body.startsWith(our.body)
  return same ? undefined : `body ${JSON.stringify([our.body, their.body])}`
}
