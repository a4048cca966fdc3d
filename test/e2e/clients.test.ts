import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { gh, have, havePython } from '../kit/clients.ts'
import type { Door } from '../kit/doors.ts'
import { scenario, type Scenario } from '../kit/scenario.ts'
import { headerOf, startUpstream, type Upstream } from '../kit/upstream.ts'

const stub = 'proxy-token-github'
const policy = `
version: 1
agents:
  tester:
    from: [{cidr: 127.0.0.1/32}]
credentials:
  github: {kind: bearer, stub: ${stub}, secret: {file: secrets/github}, hosts: [api.github.com]}
rules:
  - {id: github-api, hosts: [api.github.com], credentials: [github]}
`

let scene: Scenario<{ github: Upstream }>
let before: number
const withRequests = await havePython('requests')

beforeAll(async () => {
  scene = await scenario({
    policy,
    secrets: ['github'],
    upstreams: { github: { hosts: ['api.github.com'], start: ({ certificate }) => startUpstream({ certificate }) } },
  })
})

beforeEach(() => {
  before = scene.upstreams.github.requests.length
})

afterAll(async () => {
  await scene[Symbol.asyncDispose]()
})

/** What the host was told; a program may ask more than once. */
function told(): readonly (string | undefined)[] {
  return scene.upstreams.github.requests.slice(before).map(({ rawHeaders }) => headerOf(rawHeaders, 'authorization'))
}

const url = 'https://api.github.com/echo'
const refused = 'https://elsewhere.test/'

describe.each<Door>(['connect', 'transparent'])('through the %s door', (door) => {
  test.each(['--http1.1', '--http2'])('curl %s', async (protocol) => {
    const reply = await scene.curl(door, url, [protocol, '-H', `authorization: Bearer ${stub}`])
    expect(JSON.parse(reply.body.toString()).headers.authorization).toBe(`Bearer ${stub}`)
    expect(told()).toEqual([`Bearer ${scene.files.secrets['github']}`])
  })

  test('Node’s fetch', async () => {
    const code = `
      const reply = await fetch('${url}', { headers: { authorization: 'Bearer ${stub}' } })
      const denied = await fetch('${refused}')
      console.log(JSON.stringify([reply.status, (await reply.json()).headers.authorization, denied.status]))`
    const done = await scene.node(door, code)
    expect(JSON.parse(done.stdout)).toEqual([200, `Bearer ${stub}`, 403])
    expect(told()).toEqual([`Bearer ${scene.files.secrets['github']}`])
  })

  test.skipIf(!have('python3'))('Python’s urllib (skipped when python3 is not installed)', async () => {
    const code = `
import json, urllib.request
asked = urllib.request.Request('${url}', headers={'Authorization': 'Bearer ${stub}'})
print(json.load(urllib.request.urlopen(asked))['headers']['authorization'])
try:
    urllib.request.urlopen('${refused}')
except Exception as refusal:
    print(refusal)`
    const done = await scene.python(door, code)
    expect(done.stdout).toMatch(new RegExp(`^Bearer ${stub}\n.*403`))
    expect(told()).toEqual([`Bearer ${scene.files.secrets['github']}`])
  })

  test.skipIf(!withRequests)('Python’s requests (skipped when the module is not installed)', async () => {
    const code = `
import requests
session = requests.Session()
for _ in range(3):
    reply = session.get('${url}', headers={'Authorization': 'token ${stub}'})
    print(reply.status_code, reply.json()['headers']['authorization'])`
    const done = await scene.python(door, code)
    expect(done.stdout).toBe(`200 token ${stub}\n`.repeat(3))
    expect(told()).toEqual(Array(3).fill(`token ${scene.files.secrets['github']}`))
  })
})

// gh has no setting that leads it elsewhere than to a proxy.
test.skipIf(!have('gh'))(
  'gh, which sends the `token` form, through the connect door (skipped when gh is not installed)',
  async () => {
    const { env } = scene.door('connect')
    const given = { ...env, GH_HOST: 'github.com', GH_TOKEN: stub }
    const done = await gh(['api', 'user', '--jq', '.target'], { env: given })
    scene.readable('gh', done.bytes)
    expect(done).toMatchObject({ code: 0, stdout: '/user\n' })
    expect(told()).toEqual([`token ${scene.files.secrets['github']}`])

    const wrong = await gh(['api', 'user'], { env: { ...given, GH_TOKEN: 'not-a-stub' } })
    expect(wrong.code).not.toBe(0)
    expect(`${wrong.stdout}${wrong.stderr}`).toContain('foreign_credential')
  },
)

test('none of them was told the real value', async () => {
  expect(await scene.canaryFoundIn()).toEqual([])
})
