const firstSpacing = 30_000
const longestSpacing = 30 * 60_000

/**
 * How often a refusal by an upstream may force a call to the token endpoint. A value that was refused is replaced at
 * once; when the one that took its place is refused too, something else is wrong, and each further call waits twice as
 * long. Otherwise one agent at an endpoint that always answers 401 would spend a refresh token with every request.
 */
export class ForcedCalls {
  #until = 0
  #spacing = 0
  /** The generation that the last forced call has led to. */
  #yielded = 0

  /** Whether a refusal of this generation may force a call at `now`, in monotonic milliseconds. If so, one is counted. */
  begin(generation: number, now: number): boolean {
    const repeated = generation <= this.#yielded
    if (repeated && now < this.#until) return false
    this.#spacing = repeated ? Math.min(this.#spacing * 2, longestSpacing) : firstSpacing
    this.#until = now + this.#spacing
    this.#yielded = generation
    return true
  }

  /** The call is over, and this is the generation in force. */
  end(generation: number): void {
    this.#yielded = generation
  }
}
