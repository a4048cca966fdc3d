/** What the demo needs of this machine, looked for before anything is started. */
import { access, constants } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from './program.ts'
import type { RunOptions } from './program.ts'

export interface Tools {
  /** `git-http-backend`: git's own server side. */
  readonly gitBackend: string
  /** Whether git can be told where a name is (`http.curloptResolve`, since git 2.37). */
  readonly gitResolves: boolean
}

/** Finds curl, git and git's server side; `missing` names the first that is not there. */
export async function findTools(options: RunOptions): Promise<Tools | { readonly missing: string }> {
  if (!(await answers('curl', ['--version'], options))) return { missing: 'curl' }
  const version = await answers('git', ['--version'], options)
  const folder = await answers('git', ['--exec-path'], options)
  if (!version || !folder) return { missing: 'git' }
  const gitBackend = join(folder, 'git-http-backend')
  try {
    await access(gitBackend, constants.X_OK)
  } catch {
    return { missing: 'git-http-backend (some systems have it in the package git-daemon)' }
  }
  const [major = 0, minor = 0] = (/\d+\.\d+/.exec(version)?.[0] ?? '').split('.').map(Number)
  return { gitBackend, gitResolves: major > 2 || (major === 2 && minor >= 37) }
}

async function answers(program: string, args: readonly string[], options: RunOptions): Promise<string | undefined> {
  try {
    const { code, stdout } = await run(program, args, options)
    return code === 0 ? stdout.trim() : undefined
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
