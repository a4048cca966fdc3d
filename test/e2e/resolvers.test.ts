/**
 * The stub resolvers that agents have, before the product's DNS, with the search list of a pod: `ndots:5`, the domains of the
 * cluster and one of the node's network. Each walks the list in its own way, and each takes other replies for "ask again".
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { have, run } from '../kit/clients.ts'

const fixtures = join(import.meta.dirname, '..', 'fixtures', 'resolvers')
const server = '127.0.0.1'
/** What leads to the proxy, and what the cluster's own names lead to. */
const ours = '198.18.0.53'
const pod = '10.43.1.2'

interface Client {
  readonly name: string
  /** Why this machine cannot build it; `undefined`: it can. */
  readonly missing: string | undefined
  /** Compiler and arguments that make the program `out`. */
  readonly build: (out: string) => readonly [string, readonly string[]]
}

const inC = (name: string, compiler: string, file: string, header: string, ...libraries: readonly string[]): Client => ({
  name,
  missing: whyNoC(compiler, header),
  build: (out) => [compiler, ['-o', out, join(fixtures, file), ...libraries]],
})

const clients: readonly Client[] = [
  inC('glibc', 'gcc', 'getaddrinfo.c', 'netdb.h'),
  inC('musl', 'musl-gcc', 'getaddrinfo.c', 'netdb.h'),
  inC('c-ares', 'gcc', 'cares.c', 'ares.h', '-lcares'),
  {
    name: 'Go',
    missing: have('go') ? undefined : 'needs go',
    build: (out) => ['go', ['build', '-o', out, join(fixtures, 'lookup.go')]],
  },
]

function whyNoC(compiler: string, header: string): string | undefined {
  if (!have(compiler)) return `needs ${compiler}`
  const { status } = spawnSync(compiler, ['-fsyntax-only', '-include', header, '-x', 'c', '/dev/null'])
  return status === 0 ? undefined : `needs ${header} of ${compiler}`
}

function whyNoNamespaces(): string | undefined {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'needs root on Linux'
  const missing = ['ip', 'unshare', 'mount'].filter((program) => !have(program))
  if (missing.length > 0) return `needs ${missing.join(', ')}`
  return spawnSync('unshare', ['--net', '--mount', 'true']).status === 0 ? undefined : 'needs the right to make namespaces'
}

const cluster = ['agents.svc.cluster.local', 'svc.cluster.local', 'cluster.local']
const orders = { last: [...cluster, 'node.example'], first: ['node.example', ...cluster] } as const

type Deny = 'refuse' | 'sinkhole'
/** What a lookup ends in: an address, or `unknown`. An address in brackets is looked up in reverse. */
const expected = (deny: Deny, order: keyof typeof orders): Readonly<Record<string, string>> => ({
  'api.good.test': ours,
  'deep.below.api.good.test': ours,
  'four.dots.api.good.test.': ours,
  'web.agents.svc.cluster.local': pod,
  'matrix.test': pod,
  // A sinkhole cannot tell `web.node.example` from a name that the agent means. Kubernetes puts the node's domains last.
  web: deny === 'sinkhole' && order === 'first' ? ours : pod,
  'web.agents.svc': deny === 'sinkhole' && order === 'first' ? ours : pod,
  'evil.test': deny === 'sinkhole' ? ours : 'unknown',
  'gone.agents.svc.cluster.local': 'unknown',
  '[10.9.9.9]': 'unknown',
  '[198.18.0.53]': 'unknown',
})

const noNamespaces = whyNoNamespaces()
const cleanUp = new AsyncDisposableStack()
let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'resolvers-'))
  cleanUp.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 }))
  for (const { name, missing, build } of clients) {
    if (missing !== undefined || noNamespaces !== undefined) continue
    const [compiler, args] = build(join(folder, name))
    execFileSync(compiler, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  }
}, 120_000)
afterAll(() => cleanUp.disposeAsync())

describe.skipIf(noNamespaces !== undefined)(
  `with a pod’s search list${noNamespaces === undefined ? '' : ` (${noNamespaces})`}`,
  () => {
    describe.each<Deny>(['refuse', 'sinkhole'])('and deny: %s', (deny) => {
      const space = `res${randomBytes(4).toString('hex')}`
      const proxy = new AsyncDisposableStack()

      beforeAll(async () => {
        execFileSync('ip', ['netns', 'add', space])
        proxy.defer(() => void execFileSync('ip', ['netns', 'delete', space]))
        execFileSync('ip', ['-n', space, 'link', 'set', 'lo', 'up'])
        const script = join(import.meta.dirname, 'resolvers-proxy.ts')
        const args = [deny, server, ours, 'web.agents.svc.cluster.local', pod]
        const child = spawn('ip', ['netns', 'exec', space, process.execPath, script, ...args], {
          stdio: ['ignore', 'pipe', 'pipe'],
        })
        const ended = once(child, 'exit')
        proxy.defer(async () => {
          child.kill('SIGTERM')
          await ended
        })
        let said = ''
        child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text))
        const failed = ended.then(() => Promise.reject(new Error(said)))
        failed.catch(() => {})
        await Promise.race([once(createInterface({ input: child.stdout }), 'line'), failed])
      })
      afterAll(() => proxy.disposeAsync())

      describe.each(['last', 'first'] as const)('the node’s domain is asked %s', (order) => {
        for (const { name, missing } of clients) {
          test.skipIf(missing !== undefined)(
            `${name} walks on, at once${missing === undefined ? '' : ` (${missing})`}`,
            async () => {
              const conf = join(folder, `${order}.conf`)
              await writeFile(conf, `nameserver ${server}\nsearch ${orders[order].join(' ')}\noptions ndots:5\n`)
              const wanted = expected(deny, order)
              const command = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
              const { stdout, stderr } = await run('ip', [
                'netns',
                'exec',
                space,
                'unshare',
                '--mount',
                'sh',
                '-c',
                command,
                conf,
                join(folder, name),
                ...Object.keys(wanted),
              ])
              const found = stdout
                .trimEnd()
                .split('\n')
                .map((line) => line.split('\t'))
              const ends = found.map(([asked = '', state = '', address = '']) => [asked, state === 'found' ? address : state])
              expect(Object.fromEntries(ends), stderr).toEqual(wanted)
              // A resolver that asks again waits a second at the least.
              expect(found.filter(([, , , milliseconds]) => Number(milliseconds) >= 1000)).toEqual([])
            },
          )
        }
      })
    })
  },
)
