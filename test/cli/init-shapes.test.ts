/** `init` on manifests as people have them, one file a shape; `test/cluster` has a real API server take what comes out. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { trustVariables } from '#cli/env.ts'
import { dispatched } from '../kit/dispatched.ts'

const folder = join(import.meta.dirname, '../fixtures/manifests')
const shapes = readdirSync(folder)

async function init(text: string, ...more: readonly string[]): Promise<string> {
  const argv = ['init', '-w', '-', '--proxy', '10.43.0.53', ...more]
  const { code, stdout, stderr } = await dispatched(argv, { stdin: Readable.from([text]) })
  expect(code, stderr).toBe(0)
  return stdout
}

type Json = Readonly<Record<string, unknown>>
interface Container {
  readonly name: string
  readonly env?: readonly { readonly name: string }[]
  readonly volumeMounts?: readonly { readonly name: string; readonly mountPath: string }[]
}
interface PodSpec {
  readonly dnsConfig?: {
    readonly searches?: readonly string[]
    readonly options?: readonly { readonly name: string; readonly value?: string }[]
  }
  readonly initContainers?: readonly Container[]
  readonly containers: readonly Container[]
}

/** Every object of a stream as kubectl reads it: YAML 1.1, with merge keys. */
function objectsOf(text: string): readonly Json[] {
  const documents = parseAllDocuments(text, { version: '1.1', merge: true })
  const all = documents.map((each) => each.toJS() as Json | null)
  return all.flatMap((each) => (each === null ? [] : each['items'] ? (each['items'] as readonly Json[]) : [each]))
}

function podSpecsOf(object: unknown): readonly PodSpec[] {
  if (typeof object !== 'object' || object === null) return []
  if ('containers' in object) return [object as PodSpec]
  return Object.values(object).flatMap(podSpecsOf)
}
const containersOf = (text: string): readonly Container[] =>
  podSpecsOf(objectsOf(text)).flatMap(({ initContainers = [], containers }) => [...initContainers, ...containers])
const namesOf = (list: readonly { readonly name: string }[] | null | undefined): readonly string[] =>
  (list ?? []).map(({ name }) => name)

describe.each(shapes)('%s', (shape) => {
  const text = readFileSync(join(folder, shape), 'utf8')

  it('loses no container, variable or mount, and every container trusts the proxy', async () => {
    const done = await init(text)
    const [before, after] = [containersOf(text), containersOf(done)]
    expect(namesOf(after)).toEqual(namesOf(before))
    for (const [index, container] of after.entries()) {
      expect(namesOf(container.env)).toEqual(
        expect.arrayContaining([...namesOf(before[index]?.env), ...Object.keys(trustVariables('', ''))]),
      )
      expect(namesOf(container.volumeMounts)).toEqual(
        expect.arrayContaining([...namesOf(before[index]?.volumeMounts), 'iron-proxy-ca']),
      )
    }
  })

  it('is the same when it is done again, and has one policy for each workload', async () => {
    const done = await init(text)
    expect(await init(done)).toBe(done)
    const policies = objectsOf(done).filter(
      ({ kind, metadata }) => kind === 'NetworkPolicy' && JSON.stringify(metadata).includes('through'),
    )
    expect(policies).toHaveLength(podSpecsOf(objectsOf(text)).length)
  })

  it('keeps its comments, its line ends and its form', async () => {
    const done = await init(text)
    for (const [comment] of text.matchAll(/(?<=^|\s)#[^\r\n]*[^\s]/gm)) expect(done).toContain(comment)
    expect(done.includes('\r\n')).toBe(text.includes('\r\n'))
    expect(done.replaceAll('\r\n', '').includes('\r')).toBe(false)
    if (shape.endsWith('.json')) expect(() => JSON.parse(done) as unknown).not.toThrow()
  })
})

const shaped = (name: string): string => readFileSync(join(folder, name), 'utf8')
const specOf = (text: string): PodSpec => podSpecsOf(objectsOf(text))[0] ?? { containers: [] }

it('keeps the author’s search domains and options, and puts the cluster’s before them', async () => {
  expect(specOf(await init(shaped('dns-config.yaml'))).dnsConfig).toEqual({
    nameservers: ['10.43.0.53'],
    searches: ['agents.svc.cluster.local', 'svc.cluster.local', 'cluster.local', 'corp.example.com'],
    options: [{ name: 'timeout', value: '1' }, { name: 'ndots', value: '3' }, { name: 'single-request-reopen' }],
  })
  expect(specOf(await init(shaped('dns-none.yaml'))).dnsConfig?.searches).toEqual([
    'agents.svc.cluster.local',
    'svc.cluster.local',
    'cluster.local',
  ])
})

it('names no namespace that it does not know', async () => {
  const plain = shaped('deployment-plain.yaml')
  expect(specOf(await init(plain)).dnsConfig?.searches).toEqual(['svc.cluster.local', 'cluster.local'])
  expect(specOf(await init(plain, '--agents-namespace', 'crew')).dnsConfig?.searches?.[0]).toBe('crew.svc.cluster.local')
  const { code, stderr } = await dispatched(['init', '-w', '-', '--proxy', '10.43.0.53', '--ingress'], {
    stdin: Readable.from([plain]),
  })
  expect([code, stderr]).toEqual([1, expect.stringContaining('--agents-namespace')])
})

interface Policy extends Json {
  readonly metadata: { readonly name: string }
  readonly spec: { readonly podSelector: Json }
}
const selectorOf = async (shape: string, ...more: readonly string[]): Promise<Json | undefined> =>
  (objectsOf(await init(shaped(shape), ...more)) as readonly Policy[]).find(
    ({ kind, metadata }) => kind === 'NetworkPolicy' && metadata.name.includes('through'),
  )?.spec.podSelector

it.each([
  ['helm-template.yaml', { matchLabels: { 'app.kubernetes.io/name': 'crew', 'app.kubernetes.io/instance': 'release-name' } }],
  [
    'daemonset.yaml',
    { matchLabels: { app: 'watcher' }, matchExpressions: [{ key: 'tier', operator: 'In', values: ['agents'] }] },
  ],
  ['labels-volatile.yaml', { matchLabels: { app: 'coder' } }],
  ['replicationcontroller.yaml', { matchLabels: { app: 'old' } }],
  [
    'on-and-yes.yaml',
    { matchLabels: { enabled: 'on', y: 'yes', port: '8080', octal: '0o17', exp: '1e3', under: '1_000', empty: '' } },
  ],
])('the policy of %s chooses pods by what lasts', async (shape, selector) => {
  expect(await selectorOf(shape)).toEqual(selector)
})

it('numbers of JSON stay as they are written', async () => {
  const done = await init(
    '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","labels":{"a":"b"}},"spec":{"priority":12345678901234567890,"containers":[{"name":"a","image":"a"}]}}',
  )
  expect(done).toContain('"priority": 12345678901234567890')
})

it('a policy of before is brought up to date', async () => {
  const once = await init(shaped('deployment-plain.yaml'))
  const again = await init(once, '--also', 'nats:4222')
  expect(again.match(/kind: NetworkPolicy/g)).toHaveLength(1)
  expect(again).toContain('port: 4222')
})

it('aliases without an end are refused', async () => {
  const bomb = [
    'a: &a [x, x, x, x, x, x, x, x, x, x]',
    ...'bcdefgh'
      .split('')
      .map((each, i) => `${each}: &${each} [${Array.from({ length: 10 }, () => `*${'abcdefgh'[i]}`).join(', ')}]`),
  ]
  const { code, stderr } = await dispatched(['init', '-w', '-', '--proxy', '10.43.0.53'], {
    stdin: Readable.from([`${bomb.join('\n')}\nkind: Pod\n`]),
  })
  expect([code, stderr]).toEqual([1, expect.stringContaining('aliases stand for too much')])
})
