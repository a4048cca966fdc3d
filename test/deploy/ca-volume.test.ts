/** A rotation in the cluster: what `ca rotate` leaves in a directory is what a Secret holds, a pod mounts and the proxy reads. */
import { mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createAuthority } from '#ca/authority.ts'
import { certificatesIn } from '#ca/bundle.ts'
import { writeAuthority } from '#ca/files.ts'
import { activate, retire, stage } from '#ca/rotate.ts'
import { loadTrust } from '#ca/trust.ts'
import { settingsSchema } from '#config/settings-schema.ts'
import { parse } from 'yaml'
import { goldens, manifestsOf, only } from './parts.ts'

type Files = Readonly<Record<string, string>>
const steps = ['made', 'staged', 'activated', 'retired'] as const
const now = Date.now()
const golden = (name: string) => manifestsOf(readFileSync(join(goldens, `${name}.yaml`), 'utf8'))

/** What lay in the operator's `certs/` after each step. */
const secrets = new Map<string, Files>()
let top: string

beforeAll(async () => {
  top = await mkdtemp(join(tmpdir(), 'ca-volume-'))
  const certs = join(top, 'certs')
  const place = { certPath: join(certs, 'ca.crt'), keyPath: join(certs, 'ca.key'), now }
  const keep = async (step: (typeof steps)[number]): Promise<void> => {
    const names = await readdir(certs)
    const texts = await Promise.all(names.map(async (name) => [name, await readFile(join(certs, name), 'utf8')] as const))
    secrets.set(step, Object.fromEntries(texts))
  }
  await writeAuthority(createAuthority({ commonName: 'First CA', days: 30, now }), place)
  await keep('made')
  await stage(place, { commonName: 'Next CA', days: 30 })
  await keep('staged')
  await activate(place, false)
  await keep('activated')
  await retire(place)
  await keep('retired')
})
afterAll(() => rm(top, { recursive: true }))

/** The volume of a Secret as kubelet writes it: files behind links, all of them changed by one rename. Owned by root, read by group. */
async function mount(volume: string, files: Files): Promise<void> {
  const data = `..${String(Object.keys(files).length)}_${String(Math.random()).slice(2)}`
  await mkdir(join(volume, data), { recursive: true })
  for (const [name, text] of Object.entries(files)) {
    await writeFile(join(volume, data, name), text, { mode: 0o440 })
    await symlink(join('..data', name), join(volume, name)).catch(() => {})
  }
  await symlink(data, join(volume, '..data_tmp'))
  await rename(join(volume, '..data_tmp'), join(volume, '..data'))
  for (const name of await readdir(volume)) if (!name.startsWith('..') && !(name in files)) await rm(join(volume, name))
}

describe('a rotation outside, applied as a Secret after each step', () => {
  it('is what a proxy that mounts the whole Secret reads', async () => {
    const volume = join(top, 'volume')
    const place = { certPath: join(volume, 'ca.crt'), keyPath: join(volume, 'ca.key'), now, uid: 65_532 }
    const told: Record<string, readonly string[]> = {}
    for (const step of steps) {
      await mount(volume, secrets.get(step) ?? {})
      const { others, active, ours } = await loadTrust(place)
      told[step] = [
        ...others.map(({ role }) => role),
        `${certificatesIn(ours).length} trusted`,
        active.chainPem && 'vouched for',
      ].filter(Boolean)
    }
    expect(told).toEqual({
      made: ['1 trusted'],
      staged: ['next', '2 trusted'],
      activated: ['old', '2 trusted', 'vouched for'],
      retired: ['1 trusted'],
    })
  })

  it('has names that a Secret takes', () => {
    const names = [...secrets.values()].flatMap((files) => Object.keys(files))
    expect(names).toContain('ca.next-cross.crt')
    expect(names.filter((name) => !/^[-._a-zA-Z0-9]+$/.test(name))).toEqual([])
  })

  it.each([
    ['single', 'StatefulSet'],
    ['ha', 'Deployment'],
    ['helm-single', 'StatefulSet'],
    ['helm-ha', 'Deployment'],
  ])('is mounted whole by %s, where the settings look for it', (name, kind) => {
    const manifests = golden(name)
    const pod = only(manifests, kind, 'iron-proxy')['spec'].template.spec
    expect(pod.volumes).toContainEqual({ name: 'ca', secret: { secretName: 'iron-proxy-ca', defaultMode: 0o440 } })
    const mounted = pod.containers[0].volumeMounts.find((each: { name: string }) => each.name === 'ca')
    const map = manifests.find((each) => each.kind === 'ConfigMap' && each.metadata.name.startsWith('iron-proxy-settings'))
    const { ca } = settingsSchema.parse(parse(map?.['data']['iron-proxy.yaml'] ?? ''))
    expect(ca).toEqual({ cert: `${mounted.mountPath}/ca.crt`, key: `${mounted.mountPath}/ca.key` })
    // Whole and not by `items` or `subPath`: a file that a rotation adds comes along, and one that is renewed is seen.
    expect(mounted).toEqual({ name: 'ca', mountPath: '/etc/iron-proxy/ca', readOnly: true })
  })

  it.each(['full', 'helm-ha'])('comes whole from the secret manager of %s, with no list of files to keep', (name) => {
    const { spec } = only(golden(name), 'ExternalSecret', 'iron-proxy-ca')
    expect([spec.data, spec.dataFrom]).toEqual([undefined, [{ extract: { key: 'IRON_PROXY_CA' } }]])
  })

  it.each(steps)('gives agents through the secret manager what the proxy would give them: %s', async (step) => {
    const files = secrets.get(step) ?? {}
    const { selector, template, data } = only(golden('full'), 'PushSecret')['spec']
    expect(selector).toEqual({ secret: { name: 'iron-proxy-ca' } })
    expect(data).toEqual([{ match: { secretKey: 'bundle', remoteRef: { remoteKey: 'IRON_PROXY_CA_BUNDLE' } } }])
    const text = template.data.bundle as string
    const bundle = text.replaceAll(/\{\{ index \. "([\w.-]+)" \}\}/g, (_, file: string) => files[file] ?? '')
    await mount(join(top, step), files)
    const trust = await loadTrust({ certPath: join(top, step, 'ca.crt'), keyPath: join(top, step, 'ca.key'), now, uid: 65_532 })
    expect(certificatesIn(bundle)).toEqual(certificatesIn(trust.ours))
    expect(bundle).not.toMatch(/PRIVATE|\{\{/)
  })
})
