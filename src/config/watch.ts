import { watch as watchDirectory } from 'node:fs'
import type { FSWatcher } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'

/** Milliseconds. An editor's write is seldom one; and inotify is missing on some mounts, so we look ourselves too. */
const settle = 250
const poll = 1_000

export interface Watched {
  /** Directories all of whose files count. */
  readonly directories: readonly string[]
  /** Single files. */
  readonly files: readonly string[]
}

/**
 * Calls `changed` when anything watched is not what it was: edits, atomic renames, and the `..data` symlink that kubelet
 * swaps (watching such a file itself would see the first swap only). Whoever is called decides what the change means.
 */
export class Watch implements Disposable {
  readonly #changed: () => void
  readonly #watchers = new Map<string, FSWatcher>()
  #watched: Watched = { directories: [], files: [] }
  /** By directory or file: what it looked like when its change was last told. */
  #signatures: ReadonlyMap<string, string> | undefined
  #settling: NodeJS.Timeout | undefined
  readonly #polling: NodeJS.Timeout

  constructor(changed: () => void) {
    this.#changed = changed
    this.#polling = setInterval(() => void this.#look(), poll)
    this.#polling.unref()
  }

  /** What to watch from now on. What was watched before is compared with what was last told, so that no edit falls between. */
  async set(watched: Watched): Promise<void> {
    this.#watched = watched
    const directories = new Set([...watched.directories, ...watched.files.map((file) => dirname(file))])
    for (const [directory, watcher] of this.#watchers) {
      if (directories.has(directory)) continue
      watcher.close()
      this.#watchers.delete(directory)
    }
    for (const directory of directories) this.#open(directory)
    const now = await signatures(watched)
    if (watched !== this.#watched) return
    this.#signatures = new Map([...now].map(([place, mark]) => [place, this.#signatures?.get(place) ?? mark]))
    if (changedSince(this.#signatures, now)) this.#stir()
  }

  [Symbol.dispose](): void {
    clearInterval(this.#polling)
    clearTimeout(this.#settling)
    for (const watcher of this.#watchers.values()) watcher.close()
    this.#watchers.clear()
  }

  #open(directory: string): void {
    if (this.#watchers.has(directory)) return
    try {
      const watcher = watchDirectory(directory, { persistent: false }, () => this.#stir())
      watcher.on('error', () => {
        watcher.close()
        this.#watchers.delete(directory)
      })
      this.#watchers.set(directory, watcher)
    } catch {
      // It may not be there yet: polling sees it come.
    }
  }

  #stir(): void {
    clearTimeout(this.#settling)
    this.#settling = setTimeout(() => void this.#look(), settle)
  }

  async #look(): Promise<void> {
    const watched = this.#watched
    const now = await signatures(watched)
    if (watched !== this.#watched || !this.#signatures || !changedSince(this.#signatures, now)) return
    this.#signatures = now
    for (const directory of watched.directories) this.#open(directory)
    this.#changed()
  }
}

function changedSince(before: ReadonlyMap<string, string>, now: ReadonlyMap<string, string>): boolean {
  return [...now].some(([place, mark]) => before.get(place) !== mark)
}

/** By place, what changes whenever a file's content may have: through symlinks, by inode, size and time. */
async function signatures({ directories, files }: Watched): Promise<ReadonlyMap<string, string>> {
  const places = [
    ...directories.map((directory) => [directory, listing(directory)] as const),
    ...files.map((file) => [file, mark(file)] as const),
  ]
  return new Map(await Promise.all(places.map(async ([place, marked]) => [place, await marked] as const)))
}

async function listing(directory: string): Promise<string> {
  const names = await readdir(directory).catch(() => [])
  const visible = names.filter((name) => !name.startsWith('.')).toSorted()
  return (await Promise.all(visible.map((name) => mark(join(directory, name))))).join('\n')
}

async function mark(path: string): Promise<string> {
  try {
    const { ino, size, mtimeMs, ctimeMs } = await stat(path)
    return `${path} ${ino} ${size} ${mtimeMs} ${ctimeMs}`
  } catch {
    return `${path} -`
  }
}
