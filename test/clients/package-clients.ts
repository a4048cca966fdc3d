/** Git, GitHub and package managers. */
import { have } from '../kit/clients.ts'
import { lfsObject } from './services.ts'
import type { Client } from './types.ts'

const noLogin = { refresh: 'has no login of its own' } as const
const noCredential = { ...noLogin, ended: 'needs no credential' } as const

function tool(
  some: Pick<Client, 'id' | 'host' | 'command' | 'served'> & Partial<Pick<Client, 'version' | 'missing' | 'shows' | 'without'>>,
): Client {
  return {
    family: 'packages',
    version: () => undefined,
    missing: () => (have(some.id) ? undefined : `${some.id} is not installed`),
    shows: 'body',
    without: noLogin,
    ...some,
  }
}

const gitEnv = {
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_TERMINAL_PROMPT: '0',
  GIT_PROTOCOL: 'version=0',
  GIT_CONFIG_COUNT: '2',
  GIT_CONFIG_KEY_0: 'protocol.version',
  GIT_CONFIG_VALUE_0: '0',
  GIT_CONFIG_KEY_1: 'http.version',
  GIT_CONFIG_VALUE_1: 'HTTP/1.1',
}
const remote = 'https://x-access-token:proxy-token-github@github.com/example/project'

const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${lfsObject.oid}\nsize ${lfsObject.text.length}\n`
const fetchLarge = [
  'git init -q . && git config user.email agent@example.com && git config user.name agent && git lfs install --local >/dev/null',
  'git add .gitattributes && GIT_LFS_SKIP_SMUDGE=1 git -c filter.lfs.clean= -c filter.lfs.process= -c filter.lfs.required=false add large.bin',
  `git -c filter.lfs.process= -c filter.lfs.required=false commit -qm one && git remote add origin ${remote}.git`,
  'git lfs fetch origin HEAD && cat .git/lfs/objects/*/*/*',
].join(' && ')

export const packageClients: readonly Client[] = [
  tool({
    id: 'git',
    host: 'github.com',
    command: () => ({ program: 'git', args: ['ls-remote', remote], env: gitEnv }),
    served: /refs\/heads\/served/,
  }),
  tool({
    id: 'git-lfs',
    host: 'github.com',
    command: () => ({
      program: 'sh',
      args: ['-c', fetchLarge],
      env: { GIT_CONFIG_NOSYSTEM: '1', GIT_TERMINAL_PROMPT: '0' },
      files: { 'large.bin': pointer, '.gitattributes': '*.bin filter=lfs diff=lfs merge=lfs -text\n' },
    }),
    served: /^served$/m,
  }),
  tool({
    id: 'gh',
    host: 'api.github.com',
    command: () => ({
      program: 'gh',
      args: ['api', 'user'],
      env: { GH_TOKEN: 'proxy-token-github', GH_PROMPT_DISABLED: '1', GH_NO_UPDATE_NOTIFIER: '1', NO_COLOR: '1' },
    }),
    served: /"login": ?"served"/,
  }),
  tool({
    id: 'npm',
    host: 'npm.example.com',
    version: ({ versions }) => versions['npm:npm'],
    missing: ({ versions }) => (versions['npm:npm'] ? undefined : 'npm was not installed'),
    command: (_state, { bin }) => ({
      program: bin('npm'),
      args: ['view', 'left-pad', 'description', '--registry', 'https://npm.example.com/'],
      env: { NO_UPDATE_NOTIFIER: '1', NPM_CONFIG_UPDATE_NOTIFIER: 'false' },
      files: { '.npmrc': '//npm.example.com/:_authToken=npm-stub-token\n' },
    }),
    served: /^served$/m,
  }),
  tool({
    id: 'pip',
    host: 'pypi.example.com',
    version: ({ versions }) => versions['pypi:pip'],
    missing: ({ versions }) => (versions['pypi:pip'] ? undefined : 'pip was not installed'),
    command: (_state, { python }) => ({
      program: python,
      args: [
        '-m',
        'pip',
        '--no-input',
        '--disable-pip-version-check',
        'download',
        '--no-deps',
        '--no-cache-dir',
        'https://pypi.example.com/files/served-1.0.tar.gz',
      ],
    }),
    // The file is none; what matters is that it was fetched.
    served: /Downloading|served-1\.0\.tar\.gz .*(?:kB|bytes)|Unknown archive|not a supported|cannot unpack|Cannot unpack/i,
    shows: 'status',
    without: noCredential,
  }),
  tool({
    id: 'go',
    host: 'go.example.com',
    command: () => ({
      program: 'go',
      args: ['list', '-m', 'example.com/served@latest'],
      env: { GOPROXY: 'https://go.example.com', GOSUMDB: 'off', GOFLAGS: '-mod=mod', GOTOOLCHAIN: 'local' },
      files: { 'go.mod': 'module example.com/agent\n\ngo 1.20\n' },
    }),
    served: /example\.com\/served v1\.0\.0/,
    without: noCredential,
  }),
  tool({
    id: 'cargo',
    host: 'index.example.com',
    command: () => ({
      program: 'cargo',
      args: ['search', '--registry', 'example', 'served'],
      env: { ...rust(), CARGO_NET_RETRY: '0', CARGO_REGISTRIES_EXAMPLE_INDEX: 'sparse+https://index.example.com/' },
    }),
    served: /served = "1\.0\.0"/,
    without: noCredential,
  }),
]

/** Of a toolchain that lies in the home of who runs the suite; what cargo keeps of a registry is new each time. */
function rust(): Record<string, string> {
  return { RUSTUP_HOME: process.env['RUSTUP_HOME'] ?? `${process.env['HOME'] ?? ''}/.rustup` }
}
