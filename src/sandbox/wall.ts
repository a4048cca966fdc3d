/** Which wall works here: the tool must be installed, and the kernel must let us make namespaces. What it refuses is never made up for. */
import { spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { outerArguments } from './bubblewrap.ts'
import { outerCommand } from './unshare.ts'

export type WallKind = 'bubblewrap' | 'unshare'

export interface NoWall {
  /** What is missing or refused, and what to do. */
  readonly refusal: string
}

/** How each is tried: with all that the sandbox asks for, around a program that does nothing. */
const tries: Readonly<Record<WallKind, readonly string[]>> = {
  bubblewrap: [
    'bwrap',
    ...outerArguments([
      'bwrap',
      '--unshare-user',
      '--disable-userns',
      '--unshare-pid',
      '--ro-bind',
      '/',
      '/',
      '--proc',
      '/proc',
      '--dev',
      '/dev',
      '--',
      'true',
    ]),
  ],
  unshare: outerCommand([
    'unshare',
    '--mount',
    '--pid',
    '--fork',
    '--kill-child',
    '--',
    'sh',
    '-c',
    'mount -t tmpfs none /tmp && mount -t proc proc /proc && setpriv --version >/dev/null',
  ]),
}

/** The first that works, or the one that is asked for. `env`: PATH at least. */
export async function findWall(asked: WallKind | undefined, env: Readonly<Record<string, string>>): Promise<WallKind | NoWall> {
  const kinds: readonly WallKind[] = asked === undefined ? ['bubblewrap', 'unshare'] : [asked]
  const said: string[] = []
  for (const kind of kinds) {
    const problem = await problemOf(tries[kind], env)
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
