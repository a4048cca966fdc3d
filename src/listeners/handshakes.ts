import type { Socket } from 'node:net'
import type { Address } from '#base/address.ts'
import type { MemoryAccount, MemoryShare } from '#base/memory-account.ts'

/**
 * Handshakes under way at once from one address; the bytes that OpenSSL keeps for one outside the heap; and how many are let in
 * though no bytes are left, so that one that waits always waits for another.
 */
const limits = { perPeer: 128, bytes: 64 * 1024, always: 16 } as const

interface Line {
  underWay: number
  /** Begin when another handshake of this address has ended, in this order. */
  readonly waiting: Map<Socket, () => void>
}

/**
 * TLS handshakes under way. One takes a millisecond of signing and memory that its agent does not pay for yet, and one that stalls
 * keeps it for its whole time-out. What is too much waits, behind its own address first.
 */
export class Handshakes {
  readonly #memory: MemoryAccount
  readonly #lines = new Map<Address, Line>()
  #underWay = 0

  constructor(memory: MemoryAccount) {
    this.#memory = memory
  }

  /** Calls `begin` now or later; never if the socket closes before. What it is given must be disposed at the handshake's end. */
  enter(address: Address, socket: Socket, begin: (place: Disposable) => void): void {
    const line = this.#lines.get(address) ?? { underWay: 0, waiting: new Map() }
    this.#lines.set(address, line)
    const start = (): void => {
      const share = this.#memory.open(undefined)
      share.take(limits.bytes)
      line.underWay += 1
      this.#underWay += 1
      begin(new Place(this, address, share))
    }
    if (line.waiting.size === 0 && this.#fits(line)) return start()
    line.waiting.set(socket, start)
    socket.once('close', () => {
      line.waiting.delete(socket)
      this.#forget(address, line)
    })
  }

  leave(address: Address): void {
    const line = this.#lines.get(address)
    this.#underWay -= 1
    if (line) line.underWay -= 1
    // The others first: an address that waits has handshakes of its own that end.
    for (const [waiting, other] of this.#lines) {
      const [next] = other.waiting
      if (!next || !this.#fits(other)) continue
      other.waiting.delete(next[0])
      this.#lines.delete(waiting)
      this.#lines.set(waiting, other)
      next[1]()
      break
    }
    if (line) this.#forget(address, line)
  }

  #fits({ underWay }: Line): boolean {
    if (underWay >= limits.perPeer) return false
    if (this.#underWay < limits.always) return true
    using share = this.#memory.open(undefined)
    return share.take(limits.bytes)
  }

  #forget(address: Address, line: Line): void {
    if (line.underWay === 0 && line.waiting.size === 0 && this.#lines.get(address) === line) this.#lines.delete(address)
  }
}

class Place implements Disposable {
  readonly #handshakes: Handshakes
  readonly #address: Address
  readonly #share: MemoryShare
  #left = false

  constructor(handshakes: Handshakes, address: Address, share: MemoryShare) {
    this.#handshakes = handshakes
    this.#address = address
    this.#share = share
  }

  [Symbol.dispose](): void {
    if (this.#left) return
    this.#left = true
    this.#share[Symbol.dispose]()
    this.#handshakes.leave(this.#address)
  }
}
