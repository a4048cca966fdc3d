import { totalmem } from 'node:os'
import { constrainedMemory } from 'node:process'
import { getHeapStatistics } from 'node:v8'
import { MemoryAccount } from '#base/memory-account.ts'

/** What the process may have, in bytes. */
export interface MemoryLimits {
  /** Of the cgroup; 0 or past the machine's: there is none. */
  readonly container: number
  readonly machine: number
  /** Of one thread's heap. */
  readonly heap: number
  /** Threads that serve. */
  readonly threads: number
}

/** Bytes: code, stacks and sockets of the process itself; and what is never needed, however large the machine is. */
const own = 64 << 20
const most = 1 << 30

/**
 * Bytes that one thread may hold outside its heap: its part of what the heaps leave of the limit. Heaps are seldom full, so a
 * quarter of the limit is there in any case.
 */
export function roomOutsideHeap({ container, machine, heap, threads }: MemoryLimits): number {
  const limit = container > 0 ? Math.min(container, machine) : machine
  const heaps = heap * (threads > 1 ? threads + 1 : 1)
  return Math.floor(Math.min(most, Math.max(limit - heaps - own, limit / 4)) / threads)
}

/** The account of one of so many threads. libuv reads `memory.max` (cgroup 2) or `memory.limit_in_bytes` (cgroup 1). */
export function openMemory(threads: number): MemoryAccount {
  const { heap_size_limit: heap } = getHeapStatistics()
  return new MemoryAccount({ bytes: roomOutsideHeap({ container: constrainedMemory(), machine: totalmem(), heap, threads }) })
}
