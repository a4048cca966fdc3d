import { createHash, randomBytes } from 'node:crypto'
import type { Clock } from '#base/clock.ts'

/** Milliseconds a link is good. */
const life = 10 * 60_000

/** Codes that may be tried at one link; a person mistypes, and does not guess. */
const mostTries = 5

/** Wrong links in one minute, from whomever. */
const mostMisses = 20
const minute = 60_000

/** A login that somebody has a link to. */
export interface Linked {
  readonly credential: string
  /** Where the person logs in. */
  url: string
  /** Codes that may still be tried. */
  tries: number
}

interface Issued extends Linked {
  readonly until: number
}

/**
 * Links to the login page that are good once and for ten minutes. Whoever has one needs no admin token, so it cannot be
 * guessed, and only its digest is kept.
 */
export class LoginLinks {
  readonly #clock: Clock
  readonly #issued = new Map<string, Issued>()
  #misses = 0
  #missesUntil = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** A new link's token. An older link to the same credential ends: its login is no longer the one that counts. */
  issue(credential: string, url: string): string {
    const now = this.#clock.elapsed()
    for (const [key, link] of this.#issued) if (link.credential === credential || link.until <= now) this.#issued.delete(key)
    const token = randomBytes(32).toString('base64url')
    this.#issued.set(digest(token), { credential, url, tries: mostTries, until: now + life })
    return token
  }

  /** What a link leads to. `unknown`: it has ended, or never was one. `flooded`: too many of those within a minute. */
  find(token: string): Linked | 'unknown' | 'flooded' {
    const now = this.#clock.elapsed()
    if (now >= this.#missesUntil) {
      this.#misses = 0
      this.#missesUntil = now + minute
    }
    if (this.#misses >= mostMisses) return 'flooded'
    const link = this.#issued.get(digest(token))
    if (link && link.until > now) return link
    this.#misses += 1
    return 'unknown'
  }

  /** The link has done its work, or has been tried too often. */
  end(token: string): void {
    this.#issued.delete(digest(token))
  }
}

function digest(token: string): string {
  return createHash('sha256').update(token).digest('hex')
}
