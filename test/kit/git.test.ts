import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { testAuthority } from './ca.ts'
import { git, type Run } from './clients.ts'
import { startGitServer, type GitServer } from './git.ts'
import { commitBytes } from './git-repository.ts'
import { startRedirect } from './redirect.ts'

const host = 'git.test'
const token = randomBytes(12).toString('hex')
let folder: string
let server: GitServer
let redirect: Awaited<ReturnType<typeof startRedirect>>

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'git-test-'))
  await writeFile(join(folder, 'ca.pem'), testAuthority().certPem)
  server = await startGitServer({ certificate: testAuthority().leaf(host), token })
  redirect = await startRedirect({ 443: server.port })
})

afterAll(async () => {
  await redirect[Symbol.asyncDispose]()
  await server[Symbol.asyncDispose]()
  await rm(folder, { recursive: true })
})

function at(args: readonly string[], cwd = folder): Promise<Run> {
  const settings = ['-c', `http.proxy=socks5h://127.0.0.1:${redirect.port}`, '-c', `http.sslCAInfo=${join(folder, 'ca.pem')}`]
  return git([...settings, ...args], { cwd })
}

test.each(['HTTP/1.1', 'HTTP/2'])(
  'a repository of some size is cloned over %s after the server asked for the password',
  async (version) => {
    const name = `large-${version.slice(-1)}`
    await server.makeRepository(`crew/${name}`, { bytes: 3_000_000 })
    const before = server.requests.length
    const clone = await at([
      '-c',
      `http.version=${version}`,
      'clone',
      '--quiet',
      `https://agent:${token}@${host}/crew/${name}.git`,
    ])
    expect(clone).toMatchObject({ code: 0 })
    const seen = server.requests.slice(before)
    expect(seen.map((request) => request.status).slice(0, 2)).toEqual([401, 200])
    expect(seen[0]?.authorization).toBeUndefined()
    expect(seen[1]?.authorization).toBe(`Basic ${Buffer.from(`agent:${token}`).toString('base64')}`)
    expect(seen.reduce((sum, request) => sum + request.bytesDown, 0)).toBeGreaterThan(3_000_000)
  },
)

test('a commit larger than the post buffer is pushed', async () => {
  await server.makeRepository('crew/target')
  await at(['clone', '--quiet', `https://agent:${token}@${host}/crew/target.git`])
  const work = join(folder, 'target')
  await commitBytes(work, 2_500_000)
  expect(await at(['push', '--quiet', 'origin', 'HEAD:refs/heads/more'], work)).toMatchObject({ code: 0 })
  const local = await git(['rev-parse', 'HEAD'], { cwd: work })
  expect(await server.revision('crew/target', 'refs/heads/more')).toBe(local.stdout.trim())
  expect(server.requests.at(-1)?.bytesUp).toBeGreaterThan(2_500_000)
})

test('a wrong password opens nothing', async () => {
  const clone = await at(['clone', '--quiet', `https://agent:wrong@${host}/crew/target.git`, 'refused'])
  expect(clone.code).not.toBe(0)
  expect(server.requests.at(-1)?.status).toBe(401)
})
