import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { countMessages } from '#providers/anthropic.ts'
import { RepeatedEvent } from '#providers/scan/repeated-event.ts'
import type { ReplyKind } from '#providers/types.ts'

const event = (text: string) =>
  `event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"type":"text_delta","text":${JSON.stringify(text)}}}\n\n`

function learned(text: string): RepeatedEvent {
  const bytes = Buffer.from(event(text))
  const open = bytes.lastIndexOf('"text":') + 7
  const repeated = new RepeatedEvent()
  repeated.learn(bytes, 0, open, bytes.indexOf('}}\n'), bytes.length)
  return repeated
}

describe('an event that says the same as the one before', () => {
  it('is passed over, and its text is measured with its quotes', () => {
    const repeated = learned('one')
    for (const text of ['', 'two', 'with "quotes", a \\ and a line\nfeed', '…', 'x'.repeat(5_000)]) {
      const bytes = Buffer.from(`before${event(text)}after`)
      expect(repeated.match(bytes, 6)).toBe(bytes.length - 5)
      expect(repeated.size).toBe(Buffer.byteLength(JSON.stringify(text)))
    }
  })

  it.each([
    ['not whole', event('two').slice(0, -1)],
    ['cut in its text', event('two').slice(0, -8)],
    ['of another type', event('two').replaceAll('text_delta', 'json_delta')],
    ['with more after its text', event('two').replace('}}', ',"usage":{"output_tokens":1}}}')],
    ['with a line feed in its text', event('two').replace('two', 't\nwo')],
    ['with a carriage return in its text', event('two').replace('two', 't\rwo')],
    ['that ends in a backslash', `${event('two').slice(0, -8)}\\`],
    ['empty', ''],
  ])('is read where it is %s', (_what, text) => {
    expect(learned('one').match(Buffer.from(text), 0)).toBe(-1)
  })

  it('is read where nothing was learned, or what was learned had no text, or too much around it', () => {
    expect(new RepeatedEvent().match(Buffer.from(event('x')), 0)).toBe(-1)
    const repeated = learned('one')
    repeated.learn(Buffer.from('{"text":17}\n\n'), 0, 8, 10, 13)
    expect(repeated.match(Buffer.from('{"text":17}\n\n'), 0)).toBe(-1)
    const long = Buffer.from(`${'x'.repeat(2_000)}"y"\n\n`)
    repeated.learn(long, 0, 2_000, 2_003, long.length)
    expect(repeated.match(long, 0)).toBe(-1)
  })

  it('counts as if each had been read, however the bytes are split', () => {
    const reply: ReplyKind = { status: 200, contentType: 'text/event-stream', header: () => undefined }
    const usage = (output: number) =>
      `event: message_delta\ndata: {"type":"message_delta","usage":{"output_tokens":${output}}}\n\n`
    const texts = fc.array(fc.oneof(fc.string(), fc.constant('word '), fc.constant('\\"')), { maxLength: 30 })
    fc.assert(
      fc.property(
        texts,
        fc.array(fc.integer({ min: 1, max: 300 }), { maxLength: 30 }),
        fc.integer({ min: 1, max: 9 }),
        (said, cuts, every) => {
          const all = Buffer.from(said.map((text, i) => event(text) + (i % every === 0 ? usage(i) : '')).join(''))
          const whole = countMessages(reply)
          // One byte at a time, no event is whole in what is at hand, and each is read.
          for (const byte of all) whole.feed(Uint8Array.of(byte))
          const split = countMessages(reply)
          let at = 0
          for (const cut of [...cuts, all.length]) {
            split.feed(all.subarray(at, at + cut))
            at = Math.min(all.length, at + cut)
          }
          expect([split.visible, split.reports, split.end(true)]).toEqual([whole.visible, whole.reports, whole.end(true)])
        },
      ),
      { numRuns: 300 },
    )
  })
})
