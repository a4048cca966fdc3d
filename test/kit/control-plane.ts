/**
 * A real Kubernetes control plane on loopback: etcd, API server, controller manager and scheduler, with no kubelet. Pods run nowhere;
 * tests patch their status. `KUBE_BIN` names the folder with kube-apiserver, kube-controller-manager and kube-scheduler.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePorts } from './child.ts'
import { have, run, type Run } from './clients.ts'

const bin = process.env['KUBE_BIN'] ?? ''

/** Why there is no control plane here; `undefined`: there is one. */
export function whyNoControlPlane(): string | undefined {
  if (bin === '') return 'skipped: KUBE_BIN names no folder with kube-apiserver'
  if (!existsSync(join(bin, 'kube-apiserver'))) return `skipped: ${bin} has no kube-apiserver`
  const missing = ['etcd', 'openssl', 'kubectl'].filter((each) => !have(each))
  return missing.length > 0 ? `skipped without ${missing.join(', ')}` : undefined
}

export interface ControlPlane extends AsyncDisposable {
  readonly port: number
  /** Of the API server, as PEM. */
  readonly caFile: string
  /** Of an administrator. */
  readonly kubeconfig: string
  kubectl(args: readonly string[], options?: { readonly input?: string; readonly cwd?: string }): Promise<Run>
  /** One call of the API; throws what it answered when that is no success. */
  api(method: string, path: string, body?: object, contentType?: string): Promise<Record<string, unknown>>
}

export async function startControlPlane(): Promise<ControlPlane> {
  await using stack = new AsyncDisposableStack()
  const folder = await mkdtemp(join(tmpdir(), 'control-plane-'))
  stack.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 }))
  const [port = 0, client = 0, peer = 0, manager = 0, scheduler = 0] = await freePorts(5)
  const file = (name: string): string => join(folder, name)
  await makeCertificates(folder)
  const begin = (program: string, args: readonly string[]): ChildProcess => {
    const child = spawn(program, args, { cwd: folder, stdio: 'ignore' })
    const ended = once(child, 'exit')
    stack.defer(async () => {
      child.kill('SIGKILL')
      await ended
    })
    return child
  }
  const at = `http://127.0.0.1:${client}`
  const peers = `http://127.0.0.1:${peer}`
  begin(
    'etcd',
    words(`--name e --data-dir etcd --unsafe-no-fsync --listen-client-urls ${at} --advertise-client-urls ${at}
    --listen-peer-urls ${peers} --initial-advertise-peer-urls ${peers} --initial-cluster e=${peers}`),
  )
  begin(
    join(bin, 'kube-apiserver'),
    words(`--etcd-servers=${at} --bind-address=127.0.0.1 --advertise-address=127.0.0.1 --secure-port=${port}
      --endpoint-reconciler-type=none --tls-cert-file=apiserver.crt --tls-private-key-file=apiserver.key --client-ca-file=ca.crt
      --service-account-issuer=https://kubernetes.default.svc --service-account-key-file=sa.key
      --service-account-signing-key-file=sa.key --service-cluster-ip-range=10.43.0.0/16 --authorization-mode=Node,RBAC
      --enable-admission-plugins=NodeRestriction --allow-privileged=true`),
  )
  await writeFile(file('admin.conf'), JSON.stringify(kubeconfigOf(folder, port, 'admin')))
  const plane = controlPlane(folder, port)
  await answers(plane)
  const managing =
    '--service-account-private-key-file=sa.key --root-ca-file=ca.crt --use-service-account-credentials=true --controllers=*,-nodelifecycle,-ttl'
  for (const [name, own, more] of [
    ['kube-controller-manager', manager, managing],
    ['kube-scheduler', scheduler, ''],
  ] as const) {
    const conf = `${name}.conf`
    await writeFile(file(conf), JSON.stringify(kubeconfigOf(folder, port, name)))
    const confs = `--kubeconfig=${conf} --authentication-kubeconfig=${conf} --authorization-kubeconfig=${conf}`
    begin(join(bin, name), words(`${confs} --bind-address=127.0.0.1 --secure-port=${own} --leader-elect=false ${more}`))
  }
  const owned = stack.move()
  return { ...plane, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

function words(text: string): readonly string[] {
  return text.trim().split(/\s+/)
}

function controlPlane(folder: string, port: number): Omit<ControlPlane, typeof Symbol.asyncDispose> {
  const kubeconfig = join(folder, 'admin.conf')
  return {
    port,
    caFile: join(folder, 'ca.crt'),
    kubeconfig,
    kubectl: (args, options = {}) =>
      run('kubectl', args, { ...options, env: { KUBECONFIG: kubeconfig, HOME: folder, PATH: process.env['PATH'] ?? '' } }),
    api: (method, path, body, contentType = 'application/json') => ask(folder, port, method, path, body, contentType),
  }
}

async function ask(
  folder: string,
  port: number,
  method: string,
  path: string,
  body: object | undefined,
  contentType: string,
): Promise<Record<string, unknown>> {
  const [ca, cert, key] = await Promise.all(['ca.crt', 'admin.crt', 'admin.key'].map((name) => readFile(join(folder, name))))
  const asked = request({
    host: '127.0.0.1',
    port,
    method,
    path,
    ca,
    cert,
    key,
    headers: { 'content-type': contentType },
    timeout: 30_000,
  })
  asked.end(body && JSON.stringify(body))
  const [answer] = (await once(asked, 'response')) as [IncomingMessage]
  const said = await text(answer)
  if ((answer.statusCode ?? 0) >= 300) throw new Error(`${method} ${path}: ${answer.statusCode} ${said}`)
  return JSON.parse(said) as Record<string, unknown>
}

/** Waits until the API server is ready and has the namespace `default`. */
async function answers({ kubectl, api }: Pick<ControlPlane, 'kubectl' | 'api'>): Promise<void> {
  for (const deadline = performance.now() + 60_000; ; await sleep(200)) {
    const ready = await api('GET', '/api/v1/namespaces/default').then(
      () => undefined,
      (error: unknown) => error as Error,
    )
    if (!ready && (await kubectl(['get', '--raw', '/readyz'])).code === 0) return
    if (performance.now() > deadline) throw new Error(`the API server is not ready: ${ready?.message}`)
  }
}

const users = {
  admin: '/O=system:masters/CN=admin',
  'kube-controller-manager': '/CN=system:kube-controller-manager',
  'kube-scheduler': '/CN=system:kube-scheduler',
}

async function makeCertificates(folder: string): Promise<void> {
  const leaf = (name: string, subject: string, extension: string): string => `
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj '${subject}' -keyout ${name}.key -out ${name}.csr
printf '${extension}' > ${name}.ext
openssl x509 -req -in ${name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -out ${name}.crt -extfile ${name}.ext`
  const script = `set -e
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=kubernetes-ca -keyout ca.key -out ca.crt
openssl genrsa -out sa.key 2048
${leaf('apiserver', '/CN=kube-apiserver', 'subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:kubernetes.default.svc')}
${Object.entries(users)
  .map(([name, subject]) => leaf(name, subject, 'extendedKeyUsage=clientAuth'))
  .join('\n')}`
  const done = await run('sh', ['-c', script], { cwd: folder })
  if (done.code !== 0) throw new Error(`openssl: ${done.stderr}`)
}

function kubeconfigOf(folder: string, port: number, user: string): object {
  const file = (name: string): string => join(folder, name)
  return {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'local', cluster: { server: `https://127.0.0.1:${port}`, 'certificate-authority': file('ca.crt') } }],
    users: [{ name: user, user: { 'client-certificate': file(`${user}.crt`), 'client-key': file(`${user}.key`) } }],
    contexts: [{ name: 'local', context: { cluster: 'local', user } }],
    'current-context': 'local',
  }
}
