import { describe, expect, it } from 'vitest'
import { RequestReader } from '#wire/request-reader.ts'
import { limits, play, splitsOf } from './playbook.ts'
import type { Play } from './playbook.ts'
import * as replies from './reply-plays.ts'
import * as requests from './request-plays.ts'
import type { Row } from './request-plays.ts'

const rooms: readonly (readonly [Play['side'], string, readonly Row[]])[] = [
  ['requests', 'reads', requests.wellFormed],
  ['requests', 'refuses', requests.refused],
  ['replies', 'reads', replies.wellFormed],
  ['replies', 'refuses', replies.refused],
]

for (const [side, verb, rows] of rooms) {
  describe(`the reader of ${side} ${verb}`, () => {
    for (const [title, text, script, options] of rows) {
      it(`${title}, however it is split`, () => {
        const bytes = Buffer.from(text, 'latin1')
        const how: Play = { side, ...options }
        expect(play([bytes], how)).toEqual(script)
        for (const pieces of splitsOf(bytes)) expect(play(pieces, how), JSON.stringify(pieces.map(String))).toEqual(script)
      })
    }
  })
}

describe('a reader', () => {
  const nothing = { head() {}, data() {}, end() {}, refuse() {} }

  it('hands out views of the bytes that it was given', () => {
    const seen: Buffer[] = []
    const bytes = Buffer.from('POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET')
    const reader = new RequestReader(limits, { ...nothing, data: (part) => void seen.push(part) })
    expect(reader.read(bytes)).toBe(bytes.length - 3)
    expect(seen.map((part) => [part.buffer === bytes.buffer, part.toString()])).toEqual([[true, 'abc']])
  })

  it('says where it is', () => {
    const reader = new RequestReader(limits, nothing)
    const states = ['\r\n', 'POST ', '/ HTTP/1.1\r\nContent-Length: 1\r\n\r\n', 'x', '\r', '\n'].map((text) => {
      reader.read(Buffer.from(text))
      return [reader.inHead, reader.inMessage]
    })
    expect(states).toEqual([
      [false, false],
      [true, false],
      [false, true],
      [false, false],
      [false, false],
      [false, false],
    ])
  })

  it('takes nothing after a refusal, and refuses once', () => {
    let refusals = 0
    const reader = new RequestReader(limits, { ...nothing, refuse: () => void (refusals += 1) })
    reader.read(Buffer.from('get'))
    expect(reader.read(Buffer.from('GET / HTTP/1.1\r\n\r\n'))).toBe(0)
    reader.finish()
    expect([refusals, reader.inHead, reader.inMessage]).toEqual([1, false, false])
  })

  it('passes on what an event throws', () => {
    const reader = new RequestReader(limits, {
      ...nothing,
      head() {
        throw new Error('full')
      },
    })
    expect(() => reader.read(Buffer.from('GET / HTTP/1.1\r\n\r\n'))).toThrow('full')
  })
})
