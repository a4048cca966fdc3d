/** What the kernel tells of processes: proc(5). One that has ended meanwhile counts nothing. */
import { readdirSync, readFileSync } from 'node:fs'

/** A process and all it has started. */
export function family(pid: number): readonly number[] {
  const children = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => parentOf(name) === pid)
  return [pid, ...children.flatMap((child) => family(Number(child)))]
}

/** Resident memory of a process and all it has started, in MiB; NaN where there is no process to ask. */
export function memory(pid: number): number {
  if (pid === 0) return Number.NaN
  return family(pid).reduce((sum, each) => sum + Number(/^VmRSS:\s+(\d+)/m.exec(proc(each, 'status'))?.[1] ?? 0) / 1024, 0)
}

/** CPU seconds that a process and all it has started have used: proc(5), `stat`, in ticks of 10 ms. */
export function cpuSeconds(pid: number): number {
  return family(pid).reduce((sum, each) => {
    const fields = proc(each, 'stat')
      .replace(/^.*\) /, '')
      .split(' ')
    return sum + (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) / 100
  }, 0)
}

/** How many threads they have together. */
export function threads(pid: number): number {
  return family(pid).reduce((sum, each) => sum + Number(/^Threads:\s+(\d+)/m.exec(proc(each, 'status'))?.[1] ?? 0), 0)
}

function proc(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'latin1')
  } catch {
    return ''
  }
}

function parentOf(pid: string): number {
  return Number(
    proc(Number(pid), 'stat')
      .replace(/^.*\) \S /, '')
      .split(' ')[0],
  )
}
