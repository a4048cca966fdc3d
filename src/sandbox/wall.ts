/** Which wall works here: the tool must be installed, and the kernel must let us make namespaces. What it refuses is never made up for. */
import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { platform, tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import * as bubblewrap from './bubblewrap.ts'
import type { InnerOptions } from './bubblewrap.ts'
import * as unshare from './unshare.ts'

export type WallKind = 'bubblewrap' | 'unshare'

export interface NoWall {
  /** What is missing or refused, and what to do. */
  readonly refusal: string
}

/** How each is tried: as it will be used, around a program that does nothing. */
const trial: InnerOptions = {
  mounts: [
    { kind: 'read', from: '/usr', to: '/usr' },
    ...['bin', 'lib', 'lib64', 'sbin'].map((name) => ({ kind: 'link', to: `/${name}`, target: `usr/${name}` }) as const),
    { kind: 'proc', to: '/proc' },
    { kind: 'devices', to: '/dev' },
  ],
  work: '/',
  env: {},
  newSession: false,
  command: ['/usr/bin/true'],
}

const tries: Readonly<Record<WallKind, (root: string) => readonly string[]>> = {
  bubblewrap: () => bubblewrap.outerCommand(bubblewrap.innerCommand(trial)),
  unshare: (root) => unshare.outerCommand(unshare.innerCommand({ ...trial, root, ...userInfo() })),
}

/** The first that works, or the one that is asked for. `env`: PATH at least. */
export async function findWall(asked: WallKind | undefined, env: Readonly<Record<string, string>>): Promise<WallKind | NoWall> {
  if (platform() !== 'linux')
    return {
      refusal: `namespaces are Linux’s, and on ${platform()} a wall would be not enforced; run the sandbox in a virtual machine or container with Linux`,
    }
  const kinds: readonly WallKind[] = asked === undefined ? ['bubblewrap', 'unshare'] : [asked]
  const said: string[] = []
  for (const kind of kinds) {
    const root = await mkdtemp(join(tmpdir(), 'iron-proxy-wall-'))
    const problem = await problemOf(tries[kind](root), env)
    await rm(root, { recursive: true, force: true })
    if (problem === undefined) return kind
    said.push(`${kind}: ${problem}`)
  }
  return { refusal: `${said.join('; ')}. ${await remedy(said.join(' '))}` }
}

function problemOf(
  [program = '', ...args]: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<string | undefined> {
  return new Promise((resolve) => {
    const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'], env, timeout: 10_000 })
    let said = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text))
    child.on('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'ENOENT' ? 'not installed' : error.message))
    child.on('close', (code) =>
      resolve(code === 0 ? undefined : (said.trim().split('\n')[0] ?? '').slice(0, 200) || `exit ${code}`),
    )
  })
}

/** Switches of kernels and distributions that forbid namespaces to users, with the value that does. */
const switches = [
  ['/proc/sys/kernel/unprivileged_userns_clone', '0', 'sudo sysctl -w kernel.unprivileged_userns_clone=1'],
  ['/proc/sys/user/max_user_namespaces', '0', 'sudo sysctl -w user.max_user_namespaces=10000'],
  [
    '/proc/sys/kernel/apparmor_restrict_unprivileged_userns',
    '1',
    'install an AppArmor profile that lets bwrap make user namespaces, or sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0',
  ],
] as const

async function remedy(said: string): Promise<string> {
  for (const [file, value, command] of switches)
    if ((await readFile(file, 'utf8').catch(() => '')).trim() === value)
      return `The kernel forbids user namespaces (${file} is ${value}): ${command}`
  if (said.includes('not installed')) return 'Install bubblewrap (apt install bubblewrap, dnf install bubblewrap)'
  return 'In a container, start it with --security-opt seccomp=unconfined --security-opt systempaths=unconfined, or use `iron-proxy sandbox --docker IMAGE` on the host'
}
