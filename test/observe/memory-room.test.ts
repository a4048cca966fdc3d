import { expect, it } from 'vitest'
import { openMemory, roomOutsideHeap } from '#observe/memory-room.ts'

const MiB = 1 << 20
const machine = 64 * 1024 * MiB

it.each([
  ['a pod of 256 MiB', { container: 256 * MiB, heap: 224 * MiB, threads: 1 }, 64],
  ['a pod of 512 MiB', { container: 512 * MiB, heap: 480 * MiB, threads: 1 }, 128],
  ['a pod of 1 GiB', { container: 1024 * MiB, heap: 480 * MiB, threads: 1 }, 480],
  ['two workers in a pod of 1 GiB', { container: 1024 * MiB, heap: 480 * MiB, threads: 2 }, 128],
  ['a machine without a limit', { container: 0, heap: 4096 * MiB, threads: 1 }, 1024],
  ['a limit past the machine (cgroup 1 has one of 2 to the 63rd)', { container: 2 ** 63, heap: 4096 * MiB, threads: 1 }, 1024],
])('%s', (_name, limits, room) => {
  expect(roomOutsideHeap({ machine, ...limits })).toBe(room * MiB)
})

it('an account of this process takes something', () => {
  using share = openMemory(1).open('agent')
  expect(share.take(MiB)).toBe(true)
})
