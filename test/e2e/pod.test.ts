/**
 * The pod of `deploy/kustomize/overlays/single` without a cluster: its environment and its volumes as kubelet lays them out,
 * its user, no capability, a read-only file system, in namespaces of its own.
 */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, chownSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { createAuthority } from '#ca/authority.ts'
import { goldens, manifestsOf, only } from '../deploy/parts.ts'
import { have, run } from '../kit/clients.ts'

const user = 65532
const bin = join(import.meta.dirname, '..', '..', 'src', 'bin.js')
const possible = process.getuid?.() === 0 && ['unshare', 'setpriv', 'nsenter', 'mount', 'ip', 'curl'].every(have)

interface Mount {
  readonly name: string
  readonly mountPath: string
}

/** A volume as kubelet writes it: files below a dated folder, led to by `..data`, which an update replaces in one step. */
function fill(volume: string, generation: number, mode: number, files: Readonly<Record<string, string>>): void {
  const dated = join(volume, `..${generation}`)
  mkdirSync(dated, { recursive: true })
  for (const [name, text] of Object.entries(files)) {
    writeFileSync(join(dated, name), text)
    chmodSync(join(dated, name), mode)
    chownSync(join(dated, name), 0, user)
    if (generation === 1) symlinkSync(join('..data', name), join(volume, name))
  }
  symlinkSync(`..${generation}`, join(volume, '..data_tmp'))
  renameSync(join(volume, '..data_tmp'), join(volume, '..data'))
}

/** Makes the volumes where they belong, takes every privilege away, and runs the rest of its arguments. */
const enter = `set -eu
volumes=$1; shift
ip link set lo up
mount --make-rprivate /
for over in /etc /run /var/lib; do mount -t tmpfs tmpfs "$over"; done
while read -r name path; do mkdir -p "$path"; mount --bind "$volumes/$name" "$path"; done < "$volumes/mounts"
mount -o remount,bind,ro /
exec setpriv --reuid=${user} --regid=${user} --clear-groups --bounding-set=-all --inh-caps=-all --no-new-privs "$@"
`

async function startPod() {
  await using stack = new AsyncDisposableStack()
  const manifests = manifestsOf(await readFile(join(goldens, 'single.yaml'), 'utf8'))
  const pod = only(manifests, 'StatefulSet', 'iron-proxy')['spec'].template.spec
  const [container] = pod.containers
  const settings = manifests.find(({ metadata }) => metadata.name.startsWith('iron-proxy-settings'))?.['data']

  const volumes = mkdtempSync(join(tmpdir(), 'pod-'))
  stack.defer(() => rmSync(volumes, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 }))
  chmodSync(volumes, 0o755)
  const made = createAuthority({ commonName: 'CA of the pod', days: 7, now: Date.now() })
  fill(join(volumes, 'settings'), 1, 0o644, settings)
  fill(join(volumes, 'policy'), 1, 0o644, only(manifests, 'ConfigMap', 'iron-proxy-policy')['data'])
  fill(join(volumes, 'ca'), 1, 0o440, { 'ca.crt': made.certPem, 'ca.key': made.keyPem.expose() })
  fill(join(volumes, 'seal'), 1, 0o440, { 'seal.key': randomBytes(32).toString('base64') })
  fill(join(volumes, 'secrets'), 1, 0o440, { 'github-token': 'first' })
  mkdirSync(join(volumes, 'state'))
  chownSync(join(volumes, 'state'), 0, user)
  chmodSync(join(volumes, 'state'), 0o2775)
  const mounts = (container.volumeMounts as readonly Mount[]).map(({ name, mountPath }) => `${name} ${mountPath}\n`)
  writeFileSync(join(volumes, 'mounts'), mounts.join(''))

  // Without the watch of pods: there is no API server here.
  const env = Object.fromEntries(
    (container.env as readonly { readonly name: string; readonly value: string }[])
      .filter(({ name }) => name !== 'IRON_PROXY_KUBERNETES')
      .map(({ name, value }) => [name, value]),
  )
  const child = spawn(
    'unshare',
    ['--mount', '--net', 'sh', '-c', enter, 'enter', volumes, process.execPath, bin, ...container.args],
    { env: { PATH: process.env['PATH'] ?? '', ...env }, stdio: ['ignore', 'ignore', 'pipe'] },
  )
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text))
  const exited = once(child, 'exit').then(([code]) => code as number)
  stack.defer(async () => {
    child.kill('SIGKILL')
    await exited
  })
  const port = container.ports.find((each: { name: string }) => each.name === 'metrics').containerPort as number
  const owned = stack.move()
  return {
    volumes,
    pod,
    child,
    exited,
    said: () => said,
    /** What a probe reads, from inside. */
    get: async (path: string): Promise<string> => {
      const where = ['--target', String(child.pid), '--net']
      return (await run('nsenter', [...where, 'curl', '-s', '-w', ' %{http_code}', `http://127.0.0.1:${port}${path}`])).stdout
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

async function until(holds: () => Promise<boolean> | boolean, milliseconds = 20_000): Promise<boolean> {
  const deadline = performance.now() + milliseconds
  while (performance.now() < deadline) {
    if (await holds()) return true
    await sleep(100)
  }
  return false
}

describe.skipIf(!possible)('the pod of the overlay (skipped without root, or without namespaces)', () => {
  it('starts with no privilege, answers its probes, follows kubelet’s updates and ends in time', async () => {
    await using on = await startPod()
    const { containers } = on.pod
    expect(await until(async () => (await on.get(containers[0].startupProbe.httpGet.path)).endsWith(' 200')), on.said()).toBe(
      true,
    )
    for (const probe of ['readinessProbe', 'livenessProbe'])
      expect(await on.get(containers[0][probe].httpGet.path)).toMatch(/ 200$/)
    expect(await readFile(`/proc/${on.child.pid}/status`, 'utf8')).toMatch(/^Uid:\t65532[^]*^CapEff:\t0+$[^]*^CapBnd:\t0+$/m)

    const policy = `version: 1
agents: {crew: {from: [{cidr: 127.0.0.0/8}]}}
credentials:
  github: {kind: bearer, stub: proxy-token-github, secret: {file: /run/iron-proxy/secrets/github-token}, hosts: [api.github.com]}
rules: [{id: api, hosts: [api.github.com], credentials: [github]}]
`
    const hash = async (): Promise<string> => /config_info\{hash="(\w+)"/.exec(await on.get('/metrics'))?.[1] ?? ''
    const before = await hash()
    fill(join(on.volumes, 'policy'), 2, 0o644, { 'crew.yaml': policy })
    expect(await until(async () => (await hash()) !== before), on.said()).toBe(true)
    expect(await until(() => on.said().split('secret loaded').length === 2), on.said()).toBe(true)
    fill(join(on.volumes, 'secrets'), 2, 0o440, { 'github-token': 'second' })
    expect(await until(() => on.said().split('secret loaded').length === 3), on.said()).toBe(true)

    on.child.kill('SIGTERM')
    expect(await until(async () => (await on.get('/readyz')).endsWith(' 503'), 4_000)).toBe(true)
    expect(await on.exited).toBe(0)
  }, 60_000)
})
