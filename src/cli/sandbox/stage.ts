/** The files of one sandbox, and the command that starts it. */
import { existsSync, readlinkSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, readFile, realpath, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir, userInfo } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { bundlePem } from '#ca/bundle.ts'
import { liveKey } from '#config/live-key.ts'
import { loadPolicies } from '#config/load.ts'
import type { Settings } from '#config/settings-schema.ts'
import * as bubblewrap from '#sandbox/bubblewrap.ts'
import { leaveCommand } from '#sandbox/inside.ts'
import type { FoundProgram } from '#sandbox/program.ts'
import * as unshare from '#sandbox/unshare.ts'
import { bundleInside, homeInside, isWithin, oursInside, viewOf } from '#sandbox/view.ts'
import type { WallKind } from '#sandbox/wall.ts'
import { exit, CommandFailure } from '../command.ts'
import type { Terminal } from '../command.ts'
import { trustVariables } from '../env.ts'
import { homeInstance } from '../settings.ts'
import type { Instance } from './instance.ts'
import type { Stubs } from './profiles.ts'

export interface StageOptions {
  readonly terminal: Terminal
  readonly kind: WallKind
  readonly work: string
  readonly instance: Instance
  readonly program: FoundProgram
  readonly args: readonly string[]
  readonly stubs: Stubs
  readonly extra: { readonly read: readonly string[]; readonly env: readonly string[] }
}

export interface SandboxStage extends AsyncDisposable {
  /** Of the relay's sockets. */
  readonly sockets: string
  readonly command: readonly string[]
}

/** Folders that are no project: a sandbox there would see what it must not. */
const noWork = ['/', '/usr', '/etc', '/var', '/home', '/root', '/tmp', '/run', '/opt', '/boot', '/srv', '/mnt'] as const

/** Throws where the folder to work in would show the user's home, or is one of ours. */
export async function refuseWork(work: string, home: string, instance: Instance): Promise<void> {
  const fix = 'change to the folder of a project, or name one with --dir'
  if (noWork.some((path) => path === work) || isWithin(home, work))
    throw new CommandFailure(
      `${work} is your home, above it, or the system’s: the program would see all of it; ${fix}`,
      exit.usage,
    )
  const ours = (await hiddenPaths(instance.settings)).find(({ path, directory }) => directory && isWithin(work, path))
  if (ours) throw new CommandFailure(`${work} is within ${ours.path}, which no sandbox may see; ${fix}`, exit.usage)
}

/** Policies, secrets, state and CA key: never in sight, wherever they are. */
async function hiddenPaths(settings: Settings): Promise<readonly { readonly path: string; readonly directory: boolean }[]> {
  const { policies, ca, state, sealKey, redis, audit, adminToken, listen } = settings
  const socket = listen.admin !== 'off' && 'socket' in listen.admin ? listen.admin.socket : undefined
  const { snapshot } = await loadPolicies(policies)
  const secrets = [...(snapshot?.credentials.values() ?? [])]
    .flatMap(({ secret, companions = {} }) => [secret, ...Object.values(companions)])
    .flatMap((ref) => (ref && 'file' in ref ? [ref.file] : []))
  const files = [
    ca.key,
    state,
    `${state}-wal`,
    `${state}-shm`,
    sealKey,
    redis.journal,
    redis.password,
    redis.sentinelPassword,
    audit.file,
    adminToken,
    socket,
    ...secrets,
  ]
  const named = [policies, '.iron-proxy', ...files].filter((path) => path !== undefined)
  const paths = await Promise.all([...new Set(named)].map((path) => realpath(path).catch(() => resolve(path))))
  return Promise.all(
    paths.map(async (path) => ({
      path,
      directory: await stat(path).then(
        (found) => found.isDirectory(),
        () => false,
      ),
    })),
  )
}

/** Makes the files; they are gone when disposed. */
export async function setStage(options: StageOptions): Promise<SandboxStage> {
  const { terminal, kind, work, instance, program, args, stubs, extra } = options
  await using stack = new AsyncDisposableStack()
  const directory = await mkdtemp(join(await realpath(tmpdir()), 'iron-proxy-'))
  stack.defer(() => rm(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 }))
  await chmod(directory, 0o700)
  const at = (...names: string[]) => join(directory, ...names)
  const user = userInfo()
  for (const name of ['home', 'etc', 'sockets', 'root']) await mkdir(at(name), { mode: 0o700 })
  for (const [name, text] of Object.entries(stubs.files)) {
    await mkdir(dirname(at('home', name)), { recursive: true, mode: 0o700 })
    await writeFile(at('home', name), text, { mode: 0o600 })
  }
  const etc = etcFiles(user)
  for (const [name, text] of Object.entries(etc)) await writeFile(at('etc', name), text)
  const ours = await readFile(instance.settings.ca.cert, 'utf8')
  await writeFile(at('bundle.crt'), bundlePem(ours))
  await writeFile(at('ours.crt'), bundlePem(ours, { only: 'ours' }))

  const ownHome = [{ path: await realpath(homeInstance(terminal)).catch(() => homeInstance(terminal)), directory: true }]
  const mounts = viewOf({
    work,
    own: { home: at('home'), etc: Object.keys(etc), etcFrom: at('etc'), bundle: at('bundle.crt'), ours: at('ours.crt') },
    program: program.mounts,
    extra: await Promise.all(extra.read.map((path) => realpath(path).catch(() => missing(path)))),
    hidden: [...(await hiddenPaths(instance.settings)), ...ownHome],
    exists: existsSync,
    linkAt,
  })
  const inner = {
    mounts,
    work,
    env: environment(options),
    newSession: await mayType(terminal),
    command: [program.path, ...args],
    root: at('root'),
    uid: user.uid,
    gid: user.gid,
  }
  await leaveCommand(at('sockets'), kind === 'bubblewrap' ? bubblewrap.innerCommand(inner) : unshare.innerCommand(inner))
  const ourselves = [...terminal.self, 'sandbox-inside', at('sockets')].filter((word) => word !== '')
  const owned = stack.move()
  return {
    sockets: at('sockets'),
    command: kind === 'bubblewrap' ? bubblewrap.outerCommand(ourselves) : unshare.outerCommand(ourselves),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

function missing(path: string): never {
  throw new CommandFailure(`${path}: --read names nothing that is there`, exit.noInput)
}

function linkAt(path: string): string | undefined {
  try {
    return readlinkSync(path)
  } catch {
    return undefined
  }
}

function etcFiles({
  uid,
  gid,
  username,
}: {
  readonly uid: number
  readonly gid: number
  readonly username: string
}): Readonly<Record<string, string>> {
  const shell = '/bin/sh'
  return {
    'resolv.conf': 'nameserver 127.0.0.1\noptions timeout:5\n',
    hosts: '127.0.0.1 localhost sandbox\n::1 localhost\n',
    hostname: 'sandbox\n',
    'nsswitch.conf': 'passwd: files\ngroup: files\nhosts: files dns\n',
    passwd: `${username}:x:${uid}:${gid}::${homeInside}:${shell}\nnobody:x:65534:65534::/nonexistent:/bin/false\n`,
    group: `${username}:x:${gid}:\nnogroup:x:65534:\n`,
  }
}

/** Variables that say how the terminal and the language are; every other one could be a secret. */
const passed = /^(?:TERM|COLORTERM|LANG|LANGUAGE|LC_\w+|TZ|NO_COLOR|FORCE_COLOR|COLUMNS|LINES|EDITOR|VISUAL|PAGER)$/
const systemPath = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'] as const

function environment({ terminal, program, stubs, extra }: StageOptions): Readonly<Record<string, string>> {
  const env = Object.fromEntries(
    Object.entries(terminal.env).filter((each): each is [string, string] => each[1] !== undefined && passed.test(each[0])),
  )
  const asked = extra.env.map((text): readonly [string, string] => {
    const at = text.indexOf('=')
    const [name, value] = at < 0 ? [text, terminal.env[text] ?? ''] : [text.slice(0, at), text.slice(at + 1)]
    const looksLike = liveKey(value)
    if (looksLike !== undefined)
      throw new CommandFailure(
        `--env ${name} holds ${looksLike}: no secret goes into a sandbox; make it a credential of the policy`,
        exit.usage,
      )
    return [name, value]
  })
  const path = [...new Set([...program.directories, ...systemPath])].join(':')
  return {
    ...env,
    PATH: path,
    HOME: homeInside,
    USER: userInfo().username,
    LOGNAME: userInfo().username,
    SHELL: '/bin/sh',
    TMPDIR: '/tmp',
    IRON_PROXY_SANDBOX: '1',
    ...trustVariables(bundleInside, oursInside),
    ...stubs.env,
    ...Object.fromEntries(asked),
  }
}

/** Whether a program may put characters into the terminal's input, as if the user had typed them (ioctl_tty(2), TIOCSTI). */
async function mayType({ interactive }: Terminal): Promise<boolean> {
  if (!interactive) return false
  return (await readFile('/proc/sys/dev/tty/legacy_tiocsti', 'utf8').catch(() => '1')).trim() !== '0'
}
