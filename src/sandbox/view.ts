/**
 * sandbox/ answers: where does a program run so that the proxy is its only way out and nothing of its user is in sight? `view.ts` says
 * what it sees, `bubblewrap.ts` and `unshare.ts` build that with the tools of Linux, `wall.ts` finds which of them works here, `doors.ts`
 * are the ports inside, `relay.ts` their other end. Neighbours: cli/ starts it, the proxy is reached through its doors alone.
 */
import { join, sep } from 'node:path'

/** One thing at its place in the program's file system, in the order in which they are made. */
export type Mount =
  | { readonly kind: 'read' | 'write'; readonly from: string; readonly to: string }
  | { readonly kind: 'link'; readonly to: string; readonly target: string }
  /** An empty directory in memory. */
  | { readonly kind: 'empty'; readonly to: string }
  /** A file that reads as nothing. */
  | { readonly kind: 'nothing'; readonly to: string }
  | { readonly kind: 'proc' | 'devices'; readonly to: string }

/** The home inside. */
export const homeInside = '/home/sandbox'

/** Where the bundle of certificates is inside: our CA, then the public roots. */
export const bundleInside = '/etc/iron-proxy/ca.crt'

/** Our CA alone. */
export const oursInside = '/etc/iron-proxy/ours.crt'

export interface ViewParts {
  /** The only directory of the user that is there, under its own name. */
  readonly work: string
  /** Directories that hold `home`, and `etc` with what we write for `/etc`. */
  readonly own: {
    readonly home: string
    readonly etc: readonly string[]
    readonly etcFrom: string
    readonly bundle: string
    readonly ours: string
  }
  /** What the program itself consists of. */
  readonly program: readonly Mount[]
  /** Asked for by the user, to be read. */
  readonly extra: readonly string[]
  /** Ours, wherever it is: it may be below `work`. */
  readonly hidden: readonly { readonly path: string; readonly directory: boolean }[]
  readonly exists: (path: string) => boolean
  /** Target of a symbolic link; `undefined` of anything else. */
  readonly linkAt: (path: string) => string | undefined
}

/** Of the system, as far as programs need it. Nothing of `/etc` but what is named: a secret could be there. */
const system = ['/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32'] as const
const etc = [
  'alternatives',
  'bash.bashrc',
  'crypto-policies',
  'debian_version',
  'fonts',
  'inputrc',
  'ld.so.cache',
  'ld.so.conf',
  'ld.so.conf.d',
  'localtime',
  'mime.types',
  'os-release',
  'perl',
  'profile',
  'protocols',
  'python3',
  'services',
  'ssl/openssl.cnf',
  'terminfo',
  'timezone',
] as const

/** Where systems keep their roots: programs that read no variable look there. */
const trustStores = ['/etc/ssl/certs/ca-certificates.crt', '/etc/ssl/cert.pem', '/etc/pki/tls/certs/ca-bundle.crt'] as const

/** What the program sees, and nothing else. */
export function viewOf({ work, own, program, extra, hidden, exists, linkAt }: ViewParts): readonly Mount[] {
  return [
    { kind: 'read', from: '/usr', to: '/usr' },
    ...system.flatMap((path): readonly Mount[] => {
      const target = linkAt(path)
      if (target !== undefined) return [{ kind: 'link', to: path, target }]
      return exists(path) ? [{ kind: 'read', from: path, to: path }] : []
    }),
    { kind: 'proc', to: '/proc' },
    { kind: 'devices', to: '/dev' },
    { kind: 'empty', to: '/tmp' },
    { kind: 'empty', to: '/run' },
    { kind: 'empty', to: '/var' },
    ...etc
      .map((name) => join('/etc', name))
      .filter(exists)
      .map((path) => read(path)),
    ...own.etc.map((name) => read(join(own.etcFrom, name), join('/etc', name))),
    ...[bundleInside, ...trustStores].map((to) => read(own.bundle, to)),
    read(own.ours, oursInside),
    ...program.filter((mount) => !isWithin(mount.to, work)),
    ...extra.map((path) => read(path)),
    { kind: 'write', from: own.home, to: homeInside },
    { kind: 'write', from: work, to: work },
    ...hidden
      .filter(({ path }) => [work, ...extra].some((shown) => isWithin(path, shown)) && exists(path))
      .map(({ path, directory }): Mount => ({ kind: directory ? 'empty' : 'nothing', to: path })),
  ]
}

/** True for a path that is `directory` or below it. */
export function isWithin(path: string, directory: string): boolean {
  return path === directory || path.startsWith(directory.endsWith(sep) ? directory : directory + sep)
}

function read(from: string, to = from): Mount {
  return { kind: 'read', from, to }
}
