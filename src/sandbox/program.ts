/** Where a program is, and which files of the machine it consists of: they alone are shown beside the system's. */
import { lstat, open, readlink, stat } from 'node:fs/promises'
import { basename, delimiter, dirname, isAbsolute, join, resolve } from 'node:path'
import type { Mount } from './view.ts'
import { isWithin } from './view.ts'

export interface FoundProgram {
  readonly path: string
  readonly mounts: readonly Mount[]
  /** Directories for PATH, the program's first. */
  readonly directories: readonly string[]
}

/** What of the machine decides where it is found. */
export interface SandboxSurroundings {
  /** PATH. */
  readonly path: string
  readonly home: string
  readonly cwd: string
}

/** Directories that the view has anyway. */
const shown = ['/usr', '/bin', '/sbin', '/lib', '/lib64'] as const

/** Finds a program as a shell does. `undefined`: there is none of this name. */
export async function findProgram(name: string, around: SandboxSurroundings): Promise<FoundProgram | undefined> {
  const places = name.includes('/')
    ? [isAbsolute(name) ? name : resolve(around.cwd, name)]
    : around.path
        .split(delimiter)
        .filter((directory) => isAbsolute(directory))
        .map((directory) => join(directory, name))
  for (const path of places) if (await isProgram(path)) return parts(path, around, 0)
  return undefined
}

async function isProgram(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined)
  return found !== undefined && found.isFile() && (found.mode & 0o111) !== 0
}

/** An interpreter that is itself a script has one too; no real program goes deeper. */
const deepest = 4

async function parts(path: string, around: SandboxSurroundings, depth: number): Promise<FoundProgram> {
  const mounts: Mount[] = []
  let file = path
  for (let hops = 0; hops < 16 && (await lstat(file)).isSymbolicLink(); hops += 1) {
    const target = await readlink(file)
    if (!isShown(file)) mounts.push({ kind: 'link', to: file, target })
    file = resolve(dirname(file), target)
  }
  const root = rootOf(file, around.home)
  if (!isShown(root)) mounts.push({ kind: 'read', from: root, to: root })
  const interpreter = depth < deepest ? await interpreterOf(file) : undefined
  const needed = interpreter === undefined ? undefined : await findProgram(interpreter, around)
  return {
    path,
    mounts: [...mounts, ...(needed?.mounts ?? [])],
    directories: [...new Set([dirname(path), ...(needed?.directories ?? [])])],
  }
}

function isShown(path: string): boolean {
  return shown.some((directory) => isWithin(path, directory))
}

/**
 * The directory that a program's other files are in: the outermost `node_modules`, or the parent of its `bin`. Where that is the user's
 * own (`~/.local/bin`), the file alone.
 */
function rootOf(file: string, home: string): string {
  const modules = file.indexOf('/node_modules/')
  if (modules >= 0) return file.slice(0, modules + '/node_modules'.length)
  const above = dirname(dirname(file))
  const own = above === '/' || above === home || above === join(home, '.local') || isWithin(home, above)
  return basename(dirname(file)) === 'bin' && !own ? above : file
}

/** What the first line of a script names (execve(2)); of `env`, its first word. */
async function interpreterOf(file: string): Promise<string | undefined> {
  await using handle = await open(file)
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(256), 0, 256, 0)
  const [, program = '', rest = ''] = /^#! *(\S+)(?:[ \t]+([^\n]*))?/.exec(buffer.toString('latin1', 0, bytesRead)) ?? []
  if (basename(program) !== 'env') return program || undefined
  return rest.split(/\s+/).find((word) => word !== '' && !word.startsWith('-') && !word.includes('='))
}
