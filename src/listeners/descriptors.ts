import { readFileSync } from 'node:fs'

/** File descriptors that agents never take: listeners, files, the store, and connections of metrics and admin. */
const kept = 1_024

/** How many connections of agents fit, each with one to a host, when a process may open so many files. */
export function connectionsWithin(files: number): number {
  return Math.floor(Math.max(files - kept, files / 2) / 2)
}

/** How many files this process may open; Node raises its limit to the hard one. `Infinity` where the system does not say. */
export function mostFiles(): number {
  try {
    const soft = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]
    return soft === undefined ? Infinity : Number(soft)
  } catch {
    return Infinity
  }
}
