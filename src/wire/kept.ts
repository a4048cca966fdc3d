const empty = Buffer.alloc(0)

/** Bytes of a head or a trailer block that is not complete yet. It grows by doubling, so that a peer that drips costs what it sends. */
export class KeptBytes {
  #bytes: Buffer = empty
  #length = 0

  get length(): number {
    return this.#length
  }

  add(bytes: Uint8Array): void {
    const length = this.#length + bytes.length
    if (length > this.#bytes.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(length, this.#bytes.length * 2, 512))
      this.#bytes.copy(grown, 0, 0, this.#length)
      this.#bytes = grown
    }
    this.#bytes.set(bytes, this.#length)
    this.#length = length
  }

  /** All of it, until the next `add`. */
  view(): Buffer {
    return this.#bytes.subarray(0, this.#length)
  }

  clear(): void {
    this.#bytes = empty
    this.#length = 0
  }
}
