/** The same wall with util-linux alone, where bubblewrap is not installed: unshare(1), mount(8), pivot_root(8) and setpriv(1). */
import type { InnerOptions } from './bubblewrap.ts'
import type { Mount } from './view.ts'

/** As `outerArguments` of bubblewrap: a user and a network of its own, and its loopback up. We are root of that network alone. */
export function outerCommand(command: readonly string[]): readonly string[] {
  const script = 'ip link set lo up && exec "$@"'
  return ['unshare', '--user', '--map-root-user', '--net', '--kill-child', '--', 'sh', '-c', script, 'sh', ...command]
}

export interface UnshareOptions extends InnerOptions {
  /** An empty directory: the root of the program is put together there. */
  readonly root: string
  readonly uid: number
  readonly gid: number
}

/** Builds the root, moves into it, and gives up the user that could. */
export function innerCommand(options: UnshareOptions): readonly string[] {
  const { command, env, newSession } = options
  const drop = [
    ...`unshare --user --map-user=${options.uid} --map-group=${options.gid} --keep-caps --`.split(' '),
    ...'setpriv --no-new-privs --ambient-caps=-all --inh-caps=-all --bounding-set=-all --'.split(' '),
    'env',
    '-i',
    ...Object.entries(env).map(([name, value]) => `${name}=${value}`),
  ]
  return [
    ...'unshare --mount --pid --fork --kill-child --ipc --uts --'.split(' '),
    'sh',
    '-c',
    scriptOf(options),
    'sh',
    ...(newSession ? ['setsid', '--wait'] : []),
    ...drop,
    ...command,
  ]
}

/** What a bind mount must keep of the mount below it differs from place to place; without one of these it stays writable, and we stop. */
const functions = `set -eu
readonly_at() {
  for flags in ro ro,nosuid ro,nosuid,nodev ro,nosuid,nodev,noexec ro,nosuid,nodev,relatime ro,nosuid,nodev,noexec,relatime ro,relatime; do
    mount -o "remount,bind,$flags" "$1" 2>/dev/null && return 0
  done
  echo "iron-proxy sandbox: $1 cannot be mounted read-only" >&2
  exit 77
}
place() { if [ -d "$1" ]; then mkdir -p "$2"; else mkdir -p "$(dirname "$2")"; [ -e "$2" ] || : > "$2"; fi; mount --bind "$1" "$2"; }`

function scriptOf({ mounts, root, work }: UnshareOptions): string {
  return [
    functions,
    'mount --make-rprivate /',
    `mount -t tmpfs -o mode=0755,nosuid,nodev sandbox ${quote(root)}`,
    ...mounts.map((mount) => lineOf(mount, root)),
    `mkdir -p ${quote(`${root}/.old`)}`,
    // One more for the user that we become, and none below it.
    'echo 1 > /proc/sys/user/max_user_namespaces',
    `cd ${quote(root)}`,
    'pivot_root . .old',
    'umount -l /.old',
    'rmdir /.old',
    'mount -o remount,ro,nosuid,nodev none /',
    `cd ${quote(work)}`,
    'exec "$@"',
  ].join('\n')
}

function lineOf(mount: Mount, root: string): string {
  const at = quote(root + mount.to)
  switch (mount.kind) {
    case 'read':
      return `place ${quote(mount.from)} ${at}; readonly_at ${at}`
    case 'write':
      return `place ${quote(mount.from)} ${at}`
    case 'link':
      return `mkdir -p "$(dirname ${at})"; ln -s ${quote(mount.target)} ${at}`
    case 'empty':
      return `mkdir -p ${at}; mount -t tmpfs -o mode=1777,nosuid,nodev sandbox ${at}`
    case 'nothing':
      return `mount --bind /dev/null ${at}`
    case 'proc':
      return `mkdir -p ${at}; mount -t proc -o nosuid,nodev,noexec proc ${at}`
    case 'devices':
      return [
        `mkdir -p ${at}; mount -t tmpfs -o mode=0755,nosuid sandbox ${at}; mkdir ${at}/pts ${at}/shm`,
        `for each in null zero full random urandom tty; do place "/dev/$each" ${at}/$each; done`,
        `mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts ${at}/pts; ln -s pts/ptmx ${at}/ptmx`,
        `mount -t tmpfs -o mode=1777,nosuid,nodev sandbox ${at}/shm`,
        `ln -s /proc/self/fd ${at}/fd; ln -s fd/0 ${at}/stdin; ln -s fd/1 ${at}/stdout; ln -s fd/2 ${at}/stderr`,
      ].join('; ')
    default:
      return mount satisfies never
  }
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}
