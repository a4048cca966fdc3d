import { existsSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { have } from './clients.ts'
import type { Door } from './doors.ts'
import { startGitServer, type GitServer } from './git.ts'
import { scenario, type Scenario } from './scenario.ts'
import { headerOf, startUpstream, type Upstream } from './upstream.ts'

const stub = 'proxy-token-test'
const policy = `
version: 1
agents:
  tester:
    from: [{cidr: 127.0.0.1/32}]
credentials:
  service:
    kind: bearer
    stub: ${stub}
    secret: {file: secrets/service}
    hosts: [good.test, git.test]
rules:
  - {id: good, hosts: [good.test, git.test], credentials: [service]}
  - {id: plain, hosts: [plain.test], plain: true}
`

let scene: Scenario<{ main: Upstream; plain: Upstream; git: GitServer }>

beforeAll(async () => {
  scene = await scenario({
    policy,
    secrets: ['service'],
    upstreams: {
      main: { hosts: ['good.test'], start: ({ certificate }) => startUpstream({ certificate }) },
      plain: { hosts: ['plain.test'], start: ({ certificate }) => startUpstream({ certificate, plain: true }) },
      git: {
        hosts: ['git.test'],
        start: ({ certificate, secrets }) => startGitServer({ certificate, token: secrets['service'] ?? '' }),
      },
    },
  })
})

afterAll(async () => {
  await scene[Symbol.asyncDispose]()
  expect(existsSync(scene.files.folder)).toBe(false)
})

test.each<[Door, string, keyof typeof scene.upstreams]>([
  ['transparent', 'https://good.test/json', 'main'],
  ['connect', 'https://good.test/json', 'main'],
  ['http', 'http://plain.test/json', 'plain'],
  ['absolute', 'http://plain.test/json', 'plain'],
])('curl comes through the %s door', async (door, url, upstream) => {
  const before = scene.upstreams[upstream].requests.length
  const reply = await scene.curl(door, url)
  expect(reply).toMatchObject({ code: 0, status: 200 })
  expect(reply.body).toHaveLength(1024)
  expect(scene.upstreams[upstream].requests).toHaveLength(before + 1)
})

test('the upstream sees the secret, the agent its stub, and the scan finds nothing', async () => {
  const reply = await scene.curl('transparent', 'https://good.test/echo', ['-H', `authorization: Bearer ${stub}`])
  expect(headerOf(scene.upstreams.main.requests.at(-1)?.rawHeaders ?? [], 'authorization')).toBe(
    `Bearer ${scene.files.secrets['service']}`,
  )
  expect(reply.body.toString()).toContain(stub)
  expect(await scene.audited({ host: 'good.test', path: '/echo', agent: 'tester' })).toMatchObject({
    rule: 'good',
    verdict: 'allow',
  })
  expect(await scene.metrics()).toContain('ironproxy_')
  expect(await scene.canaryFoundIn()).toEqual([])
})

test('the scan finds what a test declares to be readable', async () => {
  scene.readable('planted', Buffer.from(`user:${scene.files.secrets['service']}`).toString('base64'))
  expect(await scene.canaryFoundIn()).toMatchObject([{ sink: 'planted' }])
})

test.each<Door>(['transparent', 'connect'])('git and Node come through the %s door', async (door) => {
  await scene.upstreams.git.makeRepository(`crew/${door}`)
  expect(await scene.git(door, ['ls-remote', `https://x:${stub}@git.test/crew/${door}.git`])).toMatchObject({ code: 0 })
  const url = 'https://good.test/json'
  expect((await scene.node(door, `console.log((await fetch('${url}')).status)`)).stdout).toBe('200\n')
})

test.skipIf(!have('python3')).each<Door>(['transparent', 'connect'])(
  'Python comes through the %s door (skipped when python3 is not installed)',
  async (door) => {
    const code = `import urllib.request\nprint(urllib.request.urlopen('https://good.test/json').status)`
    expect((await scene.python(door, code)).stdout).toBe('200\n')
  },
)

test('an edited policy comes into force, and a broken one does not', async () => {
  expect(await scene.editPolicy(policy.replace('id: plain', 'id: other'))).toBe(true)
  expect(await scene.editPolicy('rules: [', 300)).toBe(false)
  expect((await scene.curl('http', 'http://plain.test/json')).status).toBe(200)
  expect(await scene.audited({ rule: 'other' })).toBeDefined()
})
