/** What tests with pods behind a ClusterIP stand on: the net, what is outside, and two proxies that watch the pods. */
import type { ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { trustVariables } from '#cli/env.ts'
import type { AuditRecord } from '#contracts/audit-record.ts'
import { run } from '../kit/clients.ts'
import { apiName, clusterIp, makeClusterNet, podIp, type ClusterNet } from '../kit/cluster-net.ts'
import { within } from '../kit/within.ts'
import { makeWorkspace } from '../kit/workspace.ts'
import type { Outside } from './cluster-outside.ts'

export interface ClusterStage extends AsyncDisposable {
  readonly net: ClusterNet
  /** Path of an interpreter that needs no home directory. */
  readonly python: string
  /** Variables that make clients trust the proxies. */
  readonly trust: Readonly<Record<string, string>>
  /** Starts a proxy and waits until it is ready. */
  startProxy(name: 'one' | 'two'): Promise<ChildProcess>
  isReady(name: 'one' | 'two'): Promise<boolean>
  /** Records of both, each with where it was written. */
  audit(): Promise<readonly (AuditRecord & { readonly proxy: string })[]>
}

const policy = `
version: 1
agents:
  a: {from: [{pod: {namespace: agents, labels: {agent: a}}}]}
  b: {from: [{pod: {namespace: agents, labels: {agent: b}}}]}
credentials:
  github: {kind: bearer, stub: proxy-token-github, secret: {file: secrets/github}, hosts: [github.com, good.test]}
rules:
  - {id: good, hosts: [good.test], credentials: [github]}
  - {id: git, hosts: [github.com], git: {fetch: ["crew/*"]}, credentials: [github]}
`
const top = join(import.meta.dirname, '..', '..')

/** Starts all but the proxies. */
export async function startCluster(): Promise<ClusterStage> {
  await using stack = new AsyncDisposableStack()
  const files = stack.use(await makeWorkspace(policy, ['github']))
  const net = stack.use(makeClusterNet(files.folder))
  const kubeToken = randomBytes(16).toString('hex')
  const script = join(top, 'test/e2e/cluster-outside.ts')
  const outside = net.start('outside', process.execPath, [script, files.secrets['github'] ?? '', kubeToken, apiName])
  const { upstreamCa, kubeCa } = JSON.parse(await firstLine(outside)) as Outside
  const [upstreamFile, kubeFile, tokenFile] = ['upstream.crt', 'kube.crt', 'kube-token'].map((name) =>
    join(files.folder, name),
  ) as [string, string, string]
  await writeFile(upstreamFile, upstreamCa)
  await writeFile(kubeFile, kubeCa)
  await writeFile(tokenFile, kubeToken)
  const auditFile = (proxy: string): string => join(files.folder, `audit-${proxy}.jsonl`)
  const isReady = async (name: 'one' | 'two'): Promise<boolean> =>
    (await net.run(name, 'curl', ['-qsf', 'http://127.0.0.1:9464/readyz'], { timeout: 5000 })).code === 0

  async function startProxy(name: 'one' | 'two'): Promise<ChildProcess> {
    const config = join(files.folder, `${name}.yaml`)
    const open = { dns: '0.0.0.0:1053', http: '0.0.0.0:10080', https: '0.0.0.0:10443', proxy: '0.0.0.0:8080' }
    const settings = {
      policies: files.policies,
      listen: { ...open, metrics: '127.0.0.1:9464', admin: 'off' },
      advertise: clusterIp,
      ca: { cert: files.caFile, key: files.caKeyFile },
      state: join(files.folder, `state-${name}.db`),
      sealKey: join(files.folder, `seal-${name}.key`),
      upstream: {
        hosts: { 'good.test': `${podIp('outside')}:443`, 'github.com': `${podIp('outside')}:9443` },
        ca: [upstreamFile],
        allowPrivate: ['198.18.0.0/15'],
      },
      whoami: 'off',
      kubernetes: 'on',
      kubernetesApi: { server: `https://${apiName}:6443`, token: tokenFile, ca: kubeFile },
      audit: { stdout: false, file: auditFile(name) },
      shutdown: { lameDuck: 2, deadline: 15 },
    }
    await writeFile(config, JSON.stringify(settings))
    const proxy = net.start(name, process.execPath, [join(top, 'src/bin.js'), 'run', '--config', config])
    let said = ''
    proxy.stderr?.setEncoding('utf8').on('data', (text: string) => (said += text))
    if ((await within(() => isReady(name), 30_000)) === undefined) throw new Error(said)
    return proxy
  }

  async function audit(): Promise<readonly (AuditRecord & { readonly proxy: string })[]> {
    const texts = await Promise.all(
      ['one', 'two'].map(async (proxy) => [proxy, await readFile(auditFile(proxy), 'utf8').catch(() => '')] as const),
    )
    return texts.flatMap(([proxy, text]) =>
      text
        .slice(0, text.lastIndexOf('\n') + 1)
        .split('\n')
        .filter(Boolean)
        .map((line) => ({ ...(JSON.parse(line) as AuditRecord), proxy })),
    )
  }

  const python = await run('python3', ['-c', 'import sys; print(sys.executable)'], { env: { HOME: process.env['HOME'] ?? '' } })
  const owned = stack.move()
  return {
    net,
    python: python.stdout.trim(),
    trust: trustVariables(files.caFile, files.caFile),
    startProxy,
    isReady,
    audit,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

/** The first line a program says; what it complained of, when it ends instead. */
async function firstLine(child: ChildProcess): Promise<string> {
  const complaints: string[] = []
  child.stderr?.setEncoding('utf8').on('data', (text: string) => complaints.push(text))
  const ended = once(child, 'close').then(() => Promise.reject(new Error(complaints.join(''))))
  const [line] = (await Promise.race([once(createInterface({ input: child.stdout as Readable }), 'line'), ended])) as [string]
  ended.catch(() => {})
  return line
}
