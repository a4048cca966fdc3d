/** Which hosts refuse a field that the meter adds to requests: they are asked without it from then on, and what they stream is estimated. */
import { LruMap } from '#base/async.ts'
import type { Clock } from '#base/clock.ts'
import type { RefusedReply } from './refused-values.ts'
import type { RequestHead } from '#contracts/request.ts'

type Server = Pick<RequestHead, 'host' | 'port'>

/** A day, in milliseconds: by then a server may have learned the field. */
const remembered = 24 * 60 * 60 * 1000

/** Remembers servers that answered with 4xx and named an added field. Bounded: a server that is forgotten is asked with the field once more. */
export class RefusedFields {
  readonly #clock: Clock
  /** Milliseconds of the clock's running time until which a server is remembered. */
  readonly #until = new LruMap<string, number>(1000)

  constructor(clock: Clock) {
    this.#clock = clock
  }

  has(server: Server): boolean {
    return (this.#until.get(keyOf(server)) ?? 0) > this.#clock.elapsed()
  }

  add(server: Server): void {
    this.#until.set(keyOf(server), this.#clock.elapsed() + remembered)
  }

  /** The server refuses the request without the field too, so the field was not the reason. */
  delete(server: Server): void {
    this.#until.delete(keyOf(server))
  }
}

function keyOf({ host, port }: Server): string {
  return `${host}:${port}`
}

/** The reply that names one of these fields: FastAPI and Mistral 422 (`extra_forbidden`), most others 400. */
export function refusalOfFields(fields: readonly string[]): RefusedReply {
  return { status: '4xx', body: new RegExp(String.raw`\b(?:${fields.join('|')})\b`) }
}
