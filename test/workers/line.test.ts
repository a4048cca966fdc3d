import { EventEmitter } from 'node:events'
import { MessageChannel } from 'node:worker_threads'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ProxyError } from '#base/errors.ts'
import { StoreError } from '#store/store-error.ts'
import { Line } from '#workers/line.ts'

interface Asked {
  add(one: number, other: number): Promise<number>
  fail(how: 'proxy' | 'store' | 'listen' | 'other'): Promise<never>
  note(word: string): void
}

const secret = 'what nobody foresaw'

class Answering implements Asked {
  readonly heard: string[] = []

  async add(one: number, other: number): Promise<number> {
    this.heard.push('add')
    return one + other
  }

  async fail(how: 'proxy' | 'store' | 'listen' | 'other'): Promise<never> {
    if (how === 'proxy') throw new ProxyError('needs_login', 'the login of claude has ended')
    if (how === 'store') throw new StoreError('store_full', 'state.db: no space')
    if (how === 'listen')
      throw Object.assign(new Error('x'), { syscall: 'listen', code: 'EACCES', address: '10.0.0.1', port: 80 })
    throw new TypeError(secret)
  }

  note(word: string): void {
    this.heard.push(word)
  }
}

let channel: MessageChannel
let answering: Answering
let line: Line<Asked>

beforeEach(() => {
  channel = new MessageChannel()
  answering = new Answering()
  void new Line(channel.port2, answering)
  line = new Line<Asked>(channel.port1, {})
})

afterEach(() => channel.port1.close())

describe('a line', () => {
  it('asks and is answered, tells, and keeps the order of both', async () => {
    line.tell('note', 'first')
    const sums = [line.ask('add', 1, 2), line.ask('add', 3, 4)]
    line.tell('note', 'last')
    expect(await Promise.all(sums)).toEqual([3, 7])
    expect(await line.ask('add', 0, 0)).toBe(0)
    expect(answering.heard).toEqual(['first', 'add', 'add', 'last', 'add'])
  })

  it('passes on errors of ours as they are', async () => {
    const error = await line.ask('fail', 'proxy').catch((each: unknown) => each)
    expect(error).toBeInstanceOf(ProxyError)
    expect(error).toMatchObject({ code: 'needs_login', message: 'the login of claude has ended' })
    const fault = await line.ask('fail', 'store').catch((each: unknown) => each)
    expect(fault).toBeInstanceOf(StoreError)
    expect(fault).toMatchObject({ code: 'store_full', message: 'state.db: no space' })
    expect(await line.ask('fail', 'listen').catch((each: unknown) => each)).toMatchObject({
      code: 'EACCES',
      address: '10.0.0.1',
      port: 80,
    })
  })

  it('passes on of any other error no more than its class', async () => {
    const error = await line.ask('fail', 'other').catch((each: unknown) => each)
    expect(String(error)).toBe('Error: TypeError on another thread')
  })

  it('whose other side has ended answers nothing any more, and says so', async () => {
    const { promise: never, resolve } = Promise.withResolvers<number>()
    answering.add = () => never
    const under = line.ask('add', 1, 1)
    line.end()
    await expect(under).rejects.toThrow('the thread that was asked has ended')
    await expect(line.ask('add', 1, 1)).rejects.toThrow('has ended')
    line.tell('note', 'to nobody')
    resolve(0)
  })

  it('says so where something cannot be carried, either way, and goes on', async () => {
    const odd = line as unknown as Line<{ add(one: unknown): Promise<unknown> }>
    await expect(odd.ask('add', () => 1)).rejects.toMatchObject({ name: 'DataCloneError' })
    answering.add = () => Promise.resolve((() => 1) as unknown as number)
    await expect(line.ask('add', 1, 1)).rejects.toThrow('on another thread')
    answering.add = () => Promise.resolve(2)
    expect(await line.ask('add', 1, 1)).toBe(2)
  })

  it('takes what nobody understands for a bug', () => {
    const wire = Object.assign(new EventEmitter(), { postMessage: () => {} })
    void new Line(wire, answering)
    expect(() => wire.emit('message', { kind: 'call', verb: 'no such verb', args: [] })).toThrow(
      'nobody understands "no such verb"',
    )
  })
})
