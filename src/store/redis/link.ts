import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Cluster, Redis } from 'ioredis'
import { listen } from './channel.ts'
import { answerTime, connect, evaluate, isSingle, readQuietly, scriptOf, whyNot } from './client.ts'
import type { ClientOptions, Script } from './client.ts'
import type { Seal } from '../seal.ts'
import { StoreError } from '../store-error.ts'
import type { StoreFault } from '../store-error.ts'

export interface LinkOptions extends ClientOptions {
  readonly prefix: string
  readonly seal: Seal
  /** Milliseconds in which others may bring back what they know, after the server was away or came back empty. */
  readonly calm?: number | undefined
  /** Milliseconds that the server's clock is taken to be ahead of itself; zero but in tests. */
  readonly ahead?: (() => number) | undefined
  /** Told when it is up and when it is not, and why. */
  readonly onChange?: ((up: boolean, why: string) => void) | undefined
}

/** Who keeps something in Redis. */
export interface RedisMember {
  /** Tells the server what it may have lost. Called before anything else is asked of it. */
  bring(): Promise<void>
  /** Called again and again while the link is up. */
  beat(): Promise<void>
  /** Told when the link comes or goes. */
  turned?(): void
}

/** Milliseconds: between two looks, until a silent connection is given up, for others to bring back what they know, between two looks at the server's clock. */
const times = { beat: 500, silence: 10_000, calm: 2_000, measure: 5_000 } as const
/** Grows with every change of what the keys hold. */
const layout = '1'
const keyCheck = { text: 'iron-proxy', context: ['redis', 'key'] } as const

const joinScript = `
local p = KEYS[1]
local version = redis.call('HGET', p .. 'meta', 'version')
if not version then
  redis.call('HSET', p .. 'meta', 'version', ARGV[1], 'sealed', ARGV[2])
  version = ARGV[1]
end
local time = redis.call('TIME')
if version ~= ARGV[1] then return {version, '', '', 0, 0} end
local made = redis.call('SET', p .. 'era', ARGV[3], 'NX')
return {version, redis.call('HGET', p .. 'meta', 'sealed') or '', redis.call('GET', p .. 'era'), made and 1 or 0, time[1] * 1000 + math.floor(time[2] / 1000)}
`

const timeScript = "return redis.call('TIME')"

/**
 * The one connection to the shared state. A server may be away, come back empty, or be replaced by one that lags behind: each
 * life of it has a name (its era), and whoever meets another one first brings back what it knows. Nothing waits for a server that
 * is away: it is refused at once, and the link comes back by itself.
 */
export class RedisLink {
  /** What all keys begin with: one hash tag. */
  readonly keys: string
  readonly shown: string
  readonly #options: LinkOptions
  readonly #client: Redis | Cluster
  readonly #members = new Set<RedisMember>()
  #era: string | undefined
  #up = false
  #why: StoreError
  #joining: Promise<void> | undefined
  #first = Promise.withResolvers<void>()
  #calmUntil = 0
  #heardAt = performance.now()
  /** The server's time less our monotonic one. */
  #offset: number | undefined
  #beating = false
  #timer: NodeJS.Timeout | undefined
  #measuredAt = 0
  #closed = false

  constructor(options: LinkOptions) {
    this.#options = options
    this.keys = `{${options.prefix}}:`
    this.shown = options.place.shown
    this.#why = this.#fault('store_io', 'there is no connection yet')
    this.#client = connect(options, () => this.#refreshPassword())
    this.#client.on('ready', () => void this.join().catch(() => {}))
    this.#client.on('close', () => this.#lose(this.#fault('store_io', 'cannot be reached')))
    this.#client.on('error', (error: Error) => this.#lose(this.#faultOf(error)))
    void this.#client.connect().catch((error: unknown) => this.#lose(this.#faultOf(error)))
    this.#timer = setInterval(() => void this.#beat(), times.beat)
    this.#timer.unref()
  }

  get up(): boolean {
    return this.#up
  }

  /** Milliseconds since the epoch by the server's clock; `undefined` before it was ever heard. */
  get serverNow(): number | undefined {
    return this.#offset === undefined ? undefined : this.#offset + performance.now() + (this.#options.ahead?.() ?? 0)
  }

  /** Milliseconds that this machine's clock is ahead of the server's; negative: behind. `undefined` before it was ever heard. */
  get skew(): number | undefined {
    return this.#offset === undefined ? undefined : Date.now() - performance.now() - this.#offset
  }

  enter(member: RedisMember): void {
    this.#members.add(member)
  }

  /** Calls back for each message on a channel of ours, and when some may have been missed; see `listen`. */
  hear(channel: string, heard: () => void): () => void {
    return listen(this.#options, this.keys + channel, heard)
  }

  /** The last one out closes the connection. */
  leave(member: RedisMember): void {
    this.#members.delete(member)
    if (this.#members.size > 0 || this.#closed) return
    this.#closed = true
    clearInterval(this.#timer)
    this.#lose(this.#fault('store_io', 'was closed'))
    this.#client.disconnect()
  }

  /** Resolves when there is a server that knows what we know. Rejects with StoreError, at once where it is known to be away. */
  async opened(): Promise<void> {
    if (!this.#up) await this.#first.promise
    if (!this.#up) throw this.#why
  }

  /** Meets the server: is it ours, and what has it forgotten? Rejects with StoreError. */
  join(): Promise<void> {
    this.#joining ??= this.#meet()
      .then(
        () => this.#rise(),
        (error: unknown) => {
          const fault = this.#faultOf(error)
          this.#lose(fault)
          throw fault
        },
      )
      .finally(() => {
        this.#joining = undefined
      })
    return this.#joining
  }

  /** Runs a script over an order and gives what follows its `ok`. Rejects with StoreError: it did not happen, or nobody knows. */
  async ask(script: Script, order: () => object): Promise<readonly unknown[]> {
    for (let tries = 0; tries < 4; tries += 1) {
      await this.#quiet()
      const [word, ...rest] = await this.tell(script, order())
      if (word === 'ok') return rest
      await this.join()
    }
    throw this.#fault('store_io', 'forgets what it is told')
  }

  /** Resolves when there is a server that everybody has told what they know. Rejects as `opened` does. */
  async #quiet(): Promise<void> {
    await this.opened()
    for (;;) {
      const left = this.#calmUntil - performance.now()
      if (left <= 0) return
      await sleep(left)
      await this.opened()
    }
  }

  /** The same while the server is being met. */
  async tell(script: Script, order: object): Promise<readonly unknown[]> {
    const ahead = this.#options.ahead?.() ?? 0
    const whole = JSON.stringify({ ...order, era: this.#era, ahead, before: (this.serverNow ?? 0) + answerTime })
    return (await this.#run(script, whole)) as readonly unknown[]
  }

  async #run(script: Script, ...args: readonly string[]): Promise<unknown> {
    const asked = performance.now()
    try {
      const reply = await evaluate(this.#client, script, this.keys, args)
      this.#heardAt = performance.now()
      return reply
    } catch (error) {
      const fault = this.#faultOf(error)
      // A server that did not answer is away; one that refused a single command is not.
      if (performance.now() - asked >= answerTime - 50 || this.#client.status !== 'ready') this.#lose(fault)
      throw fault
    }
  }

  async #meet(): Promise<void> {
    const { seal } = this.#options
    const check = Buffer.from(seal.seal(keyCheck.text, keyCheck.context)).toString('base64')
    const asked = performance.now()
    const reply = (await this.#run(scriptOf(joinScript), layout, check, randomUUID())) as readonly [
      string,
      string,
      string,
      number,
      number,
    ]
    const [version, sealed, era, made, time] = reply
    if (version !== layout)
      throw this.#fault(
        'store_version',
        `is of version ${version.slice(0, 20)} and this program reads version ${layout}; run the newer iron-proxy`,
      )
    if (seal.open(Buffer.from(sealed, 'base64'), keyCheck.context) !== keyCheck.text)
      throw this.#fault('seal_key_wrong', 'is sealed with another key than `sealKey`; give every replica the same one')
    this.#setTime(time, asked)
    const again = this.#era !== undefined
    this.#era = era
    for (const member of this.#members) await member.bring()
    if (again || made === 1) this.#calmUntil = performance.now() + (this.#options.calm ?? times.calm)
  }

  /** `asked`: when, on our monotonic clock. */
  #setTime(time: number, asked: number): void {
    this.#measuredAt = performance.now()
    this.#offset = time - (asked + this.#measuredAt) / 2
  }

  /** Compares the clocks again: they drift, and either may be set. */
  async #measure(): Promise<void> {
    if (performance.now() - this.#measuredAt < times.measure) return
    const asked = performance.now()
    const [seconds, micros] = (await this.#run(scriptOf(timeScript))) as readonly [string, string]
    this.#setTime(Number(seconds) * 1000 + Math.floor(Number(micros) / 1000), asked)
  }

  #rise(): void {
    if (this.#closed || this.#up) return
    this.#up = true
    this.#first.resolve()
    this.#options.onChange?.(true, `${this.shown}: is there`)
    for (const member of this.#members) member.turned?.()
  }

  #lose(why: StoreError): void {
    const [was, news] = [this.#up, this.#up || this.#why.message !== why.message]
    this.#up = false
    this.#why = why
    this.#first.resolve()
    if (was) for (const member of this.#members) member.turned?.()
    if (news && !this.#closed) this.#options.onChange?.(false, why.message)
  }

  async #beat(): Promise<void> {
    if (this.#beating || this.#closed || this.#client.status !== 'ready') return
    this.#beating = true
    try {
      if (!this.#up) await this.join()
      for (const member of this.#members) await member.beat()
      await this.#measure()
    } catch {
      if (performance.now() - this.#heardAt > times.silence && isSingle(this.#client)) {
        this.#heardAt = performance.now()
        this.#client.disconnect(true)
      }
    } finally {
      this.#beating = false
    }
  }

  #refreshPassword(): void {
    const { password } = this.#options
    // A cluster makes its connections itself, with the password it began with.
    if (password && isSingle(this.#client)) this.#client.options.password = readQuietly(password)
  }

  #fault(code: StoreFault, what: string): StoreError {
    return new StoreError(code, `${this.shown}: ${what}`)
  }

  /** Without its cause: an error of the client carries the command, and the command may carry the password. */
  #faultOf(error: unknown): StoreError {
    return error instanceof StoreError ? error : this.#fault(...whyNot(error))
  }
}
