/** What bubblewrap is told (bwrap(1), 0.5 or later). */
import type { Mount } from './view.ts'

/** Namespaces whose network is an empty one, for our own doors: the file system stays as it is. Ports below 1024 need the capability. */
export function outerCommand(command: readonly string[]): readonly string[] {
  return [
    'bwrap',
    ...'--unshare-user --unshare-net --die-with-parent --cap-add CAP_NET_BIND_SERVICE'.split(' '),
    '--dev-bind',
    '/',
    '/',
    '--',
    ...command,
  ]
}

export interface InnerOptions {
  readonly mounts: readonly Mount[]
  readonly work: string
  readonly env: Readonly<Record<string, string>>
  /** Takes the controlling terminal away: else a program could type into it (TIOCSTI), where the kernel still lets it. */
  readonly newSession: boolean
  readonly command: readonly string[]
}

/** bwrap refuses to start with a capability that it did not get from us as root: that of the doors is given up before (setpriv(1)). */
const withoutCapability = ['setpriv', '--inh-caps=-all', '--ambient-caps=-all', '--', 'bwrap'] as const

/**
 * The program's own namespaces, below those of the doors. No capability is left, no new privilege can be had, and no namespace can be
 * made in which there would be one.
 */
export function innerCommand({ mounts, work, env, newSession, command }: InnerOptions): readonly string[] {
  return [
    ...withoutCapability,
    ...'--unshare-user --disable-userns --unshare-pid --unshare-ipc --unshare-uts --unshare-cgroup-try'.split(' '),
    ...'--die-with-parent --cap-drop ALL --hostname sandbox'.split(' '),
    ...(newSession ? ['--new-session'] : []),
    ...mounts.flatMap(argumentsOf),
    '--remount-ro',
    '/',
    '--chdir',
    work,
    '--clearenv',
    ...Object.entries(env).flatMap(([name, value]) => ['--setenv', name, value]),
    '--',
    ...command,
  ]
}

function argumentsOf(mount: Mount): readonly string[] {
  switch (mount.kind) {
    case 'read':
      return ['--ro-bind', mount.from, mount.to]
    case 'write':
      return ['--bind', mount.from, mount.to]
    case 'link':
      return ['--symlink', mount.target, mount.to]
    case 'empty':
      return ['--tmpfs', mount.to]
    case 'nothing':
      return ['--ro-bind', '/dev/null', mount.to]
    case 'proc':
      return ['--proc', mount.to]
    case 'devices':
      return ['--dev', mount.to]
    default:
      return mount satisfies never
  }
}
