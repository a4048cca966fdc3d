import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { testAuthority } from './ca.ts'
import { curl, have, havePython, node, python } from './clients.ts'
import { throughDoor, type DoorSettings } from './doors.ts'
import { startRedirect } from './redirect.ts'
import { startUpstream, type Upstream } from './upstream.ts'

const host = 'good.test'
let folder: string
let upstream: Upstream
let redirect: Awaited<ReturnType<typeof startRedirect>>
let door: DoorSettings
const withRequests = await havePython('requests')

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'doors-'))
  await writeFile(join(folder, 'ca.pem'), testAuthority().certPem)
  upstream = await startUpstream({ certificate: testAuthority().leaf(host) })
  redirect = await startRedirect({ 443: upstream.port })
  const ports = { http: 0, https: upstream.port, proxy: 0, redirect: redirect.port }
  door = throughDoor('transparent', ports, join(folder, 'ca.pem'))
})

afterAll(async () => {
  await redirect[Symbol.asyncDispose]()
  await upstream[Symbol.asyncDispose]()
  await rm(folder, { recursive: true })
})

describe('a client that believes to reach the host arrives at the door', () => {
  const url = `https://${host}/echo`

  test('curl', async () => {
    const done = await curl([...door.curl(url), url], { env: door.env })
    expect(JSON.parse(done.stdout).headers[':authority']).toBe(host)
  })

  test('curl over SOCKS', async () => {
    const done = await curl(['--proxy', `socks5h://127.0.0.1:${redirect.port}`, '--http1.1', url], { env: door.env })
    expect(JSON.parse(done.stdout).headers.host).toBe(host)
  })

  test('Node', async () => {
    // Its fetch agrees on h2 from version 26 on.
    const done = await node(`${door.node}\nconsole.log(await (await fetch('${url}')).text())`, { env: door.env })
    const { headers } = JSON.parse(done.stdout)
    expect(headers.host ?? headers[':authority']).toBe(host)
  })

  test.skipIf(!have('python3'))('Python (skipped when python3 is not installed)', async () => {
    const code = `${door.python}\nimport urllib.request\nprint(urllib.request.urlopen('${url}').read().decode())`
    const done = await python(code, { env: door.env })
    expect(JSON.parse(done.stdout).headers.host).toBe(host)
  })

  test.skipIf(!withRequests)('Python requests (skipped when the module is not installed)', async () => {
    const done = await python(`${door.python}\nimport requests\nprint(requests.get('${url}').text)`, { env: door.env })
    expect(JSON.parse(done.stdout).headers.host).toBe(host)
  })

  test('no other port leads anywhere', async () => {
    const done = await curl(['--proxy', `socks5h://127.0.0.1:${redirect.port}`, `https://${host}:8443/`], { env: door.env })
    expect(done.code).not.toBe(0)
  })
})
