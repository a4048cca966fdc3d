/** An agent's home in a folder of its own, its scripts, and programs on its PATH that stand for those no test can have. */
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { git, have, run, type Run, type RunOptions } from '../../kit/clients.ts'

export const scripts = join(import.meta.dirname, '..', '..', '..', 'deploy', 'agent')

/** What the scripts are made of; where one is missing, their tests say so and are skipped. */
export const missing = ['bash', 'git', 'jq', 'curl', 'tmux'].filter((program) => !have(program))

export interface Rig extends AsyncDisposable {
  readonly folder: string
  readonly home: string
  readonly workspace: string
  /** What every script is given. */
  readonly env: Readonly<Record<string, string>>
  /** Runs a script of deploy/agent to its end. */
  script(name: string, args?: readonly string[], options?: RunOptions): Promise<Run>
  /** Puts a bash program in front of the PATH. */
  fake(name: string, body: string): Promise<void>
  write(path: string, text: string): Promise<string>
  /** A file below the home. */
  read(path: string): Promise<string>
  json(path: string): Promise<unknown>
  /** A bare repository with one commit, as a URL. */
  repository(name: string): Promise<string>
}

/** Makes a home for `testbot`; gone again when disposed. */
export async function makeRig(env: Readonly<Record<string, string>> = {}): Promise<Rig> {
  const folder = await mkdtemp(join(tmpdir(), 'agent-'))
  const [home, workspace, bin, persona] = ['home', 'workspace', 'bin', 'persona'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
    string,
  ]
  for (const path of [home, workspace, bin, persona]) await mkdir(path)
  await writeFile(join(persona, 'CLAUDE.md'), '# Testbot\n')
  const all = {
    PATH: [bin, dirname(process.execPath), process.env['PATH']].join(delimiter),
    HOME: home,
    AGENT_HOME: home,
    AGENT_NAME: 'testbot',
    WORKSPACE: workspace,
    PERSONA_DIR: persona,
    TMUX_TMPDIR: folder,
    LANG: 'C.UTF-8',
    GIT_CONFIG_NOSYSTEM: '1',
    ...env,
  }

  async function write(path: string, text: string): Promise<string> {
    const file = join(folder, path)
    await mkdir(dirname(file), { recursive: true })
    await writeFile(file, text)
    return file
  }

  const fake = async (name: string, body: string): Promise<void> =>
    chmod(await write(join('bin', name), `#!/usr/bin/env bash\n${body}\n`), 0o755)
  // Nothing that a script does here may reach the developer's own.
  for (const name of ['claude', 'gh', 'kubectl']) await fake(name, 'exit 0')

  return {
    folder,
    home,
    workspace,
    env: all,
    fake,
    write,
    script: (name, args = [], options = {}) =>
      run(join(scripts, name), args, { cwd: folder, ...options, env: { ...all, ...options.env } }),
    read: (path) => readFile(join(home, path), 'utf8'),
    json: async (path) => JSON.parse(await readFile(join(home, path), 'utf8')) as unknown,
    repository: async (name) => {
      const path = join(folder, 'origin', `${name}.git`)
      const copy = join(folder, 'origin', `${name}-copy`)
      await git(['init', '--quiet', '--bare', '--initial-branch=main', path])
      await git(['clone', '--quiet', `file://${path}`, copy])
      await git(['commit', '--quiet', '--allow-empty', '-m', 'first'], { cwd: copy })
      await git(['push', '--quiet', 'origin', 'HEAD:main'], { cwd: copy })
      return `file://${path}`
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 }),
  }
}

/** Asks again until there is an answer; throws when the time is up, with what was waited for. */
export async function until<Value>(
  what: string,
  ask: () => Value | undefined | false | Promise<Value | undefined | false>,
  timeout = 40_000,
): Promise<Value> {
  for (const end = Date.now() + timeout; Date.now() < end; await sleep(50)) {
    const value = await ask()
    if (value !== undefined && value !== false) return value
  }
  throw new Error(`waited in vain: ${what}`)
}
