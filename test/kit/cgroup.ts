/** A memory limit of the kernel around a process, as a container has it. */
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

export interface Cgroup extends AsyncDisposable {
  /** A process that writes its id into this file is under the limit from then on. */
  readonly procs: string
  /** How often the kernel has killed a process in it for lack of memory. */
  kills(): number
}

const root = '/sys/fs/cgroup'

/** Makes a cgroup with room for so many bytes; the reason why it cannot be made here, otherwise. */
export function makeCgroup(name: string, bytes: number): Cgroup | string {
  const two = existsSync(`${root}/cgroup.controllers`)
  const folder = two ? `${root}/${name}` : `${root}/memory/${name}`
  try {
    mkdirSync(folder, { recursive: true })
    writeFileSync(`${folder}/${two ? 'memory.max' : 'memory.limit_in_bytes'}`, String(bytes))
    if (two) writeFileSync(`${folder}/memory.swap.max`, '0')
  } catch (error) {
    return `no cgroup can be made here (${(error as NodeJS.ErrnoException).code ?? 'unknown error'})`
  }
  return {
    procs: `${folder}/cgroup.procs`,
    kills() {
      const text = readFileSync(`${folder}/${two ? 'memory.events' : 'memory.oom_control'}`, 'utf8')
      return Number(/^oom_kill (\d+)/m.exec(text)?.[1] ?? 0)
    },
    async [Symbol.asyncDispose]() {
      // A process that was killed a moment ago may still be in it.
      for (let attempt = 0; attempt < 50; attempt += 1) {
        try {
          return rmdirSync(folder)
        } catch {
          await sleep(50)
        }
      }
    },
  }
}
