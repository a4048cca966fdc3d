/** Time as a port: rooms without I/O are handed one, tests hand in their own. */
export interface Clock {
  /** Wall time in milliseconds since the epoch: for records and expiry. */
  now(): number
  /** Monotonic milliseconds: for durations and deadlines. */
  elapsed(): number
  /** Calls back once after so many milliseconds; the returned function calls it off. */
  later(milliseconds: number, act: () => void): () => void
}
