import { createHash, randomBytes } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { isToken } from '#admin/guard.ts'
import type { Clock } from '#base/clock.ts'
import type { Secret } from '#base/secret.ts'

/** Milliseconds that a session lasts, how many there are, and wrong tokens that are looked at in a minute. */
const life = 12 * 3_600_000
const most = 100
const mostMisses = 20
const minute = 60_000

const cookie = 'iron_proxy_session'

/** Browsers that gave the admin token once. Only digests of what they hold are kept. */
export class PageSessions {
  readonly #clock: Clock
  readonly #until = new Map<string, number>()
  #misses = 0
  #missesUntil = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** The cookie of a new session. `undefined`: that is not the token, or too many were not. */
  open(given: string, token: Secret): string | undefined {
    const now = this.#clock.elapsed()
    if (now >= this.#missesUntil) {
      this.#misses = 0
      this.#missesUntil = now + minute
    }
    if (this.#misses >= mostMisses) return undefined
    if (!isToken(given, token)) {
      this.#misses += 1
      return undefined
    }
    const id = randomBytes(32).toString('base64url')
    const [oldest] = this.#until.keys()
    if (this.#until.size >= most && oldest !== undefined) this.#until.delete(oldest)
    this.#until.set(digest(id).toString('hex'), now + life)
    return `${cookie}=${id}; HttpOnly; SameSite=Strict; Path=/; Max-Age=${life / 1_000}`
  }

  holds({ headers }: IncomingMessage): boolean {
    const given = new RegExp(`(?:^|; *)${cookie}=([\\w-]{43})(?:;|$)`).exec(headers.cookie ?? '')?.[1]
    const until = given === undefined ? undefined : this.#until.get(digest(given).toString('hex'))
    return until !== undefined && until > this.#clock.elapsed()
  }
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
