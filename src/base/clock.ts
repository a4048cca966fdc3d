/** Time as a port: rooms without I/O are handed one, tests hand in their own. */
export interface Clock {
  /** Wall time in milliseconds since the epoch: for records and expiry. */
  now(): number
  /** Monotonic milliseconds: for durations and deadlines. */
  elapsed(): number
  /** Calls back once after so many milliseconds; the returned function calls it off. */
  later(milliseconds: number, act: () => void): () => void
}

let second = -1
let secondText = ''

/** Milliseconds since the epoch as ISO 8601 in UTC. What stands before the milliseconds is kept for a second. */
export function isoTime(milliseconds: number): string {
  const whole = Math.floor(milliseconds / 1000)
  if (whole !== second) {
    second = whole
    secondText = new Date(whole * 1000).toISOString().slice(0, -4)
  }
  const rest = Math.floor(milliseconds - whole * 1000)
  return `${secondText}${rest < 10 ? '00' : rest < 100 ? '0' : ''}${rest}Z`
}
