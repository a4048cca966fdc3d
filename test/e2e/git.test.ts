import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { forgetPeak, memoryOf, startChild, tellsMemory, type Child } from '../kit/child.ts'
import { testAuthority } from '../kit/ca.ts'
import { findLeaks } from '../kit/canary.ts'
import { git, type Run } from '../kit/clients.ts'
import { throughDoor, type Door } from '../kit/doors.ts'
import { startGitServer, type GitServer } from '../kit/git.ts'
import { commitBytes } from '../kit/git-repository.ts'
import { startRedirect } from '../kit/redirect.ts'
import { makeWorkspace, type Workspace } from '../kit/workspace.ts'

const stub = 'proxy-token-github'
const policy = `
version: 1
agents:
  tester:
    from: [{cidr: 127.0.0.1/32}]
credentials:
  github: {kind: bearer, stub: ${stub}, secret: {file: secrets/github}, hosts: [github.com]}
rules:
  - {id: github-git, hosts: [github.com], git: {fetch: ["crew/*"], push: [crew/homelab]}, credentials: [github]}
`

const stack = new AsyncDisposableStack()
const said: Run[] = []
let files: Workspace
let server: GitServer
let child: Child
let redirect: number

beforeAll(async () => {
  files = stack.use(await makeWorkspace(policy, ['github']))
  server = stack.use(
    await startGitServer({ certificate: testAuthority().leaf('github.com'), token: files.secrets['github'] ?? '' }),
  )
  child = stack.use(await startChild({ files, hosts: { 'github.com': server.port } }))
  redirect = stack.use(await startRedirect({ 443: child.ports.https })).port
  for (const name of ['homelab', 'tools']) await server.makeRepository(`crew/${name}`)
  await server.makeRepository('others/secret')
})

afterAll(async () => {
  await stack.disposeAsync()
})

async function through(door: Door, args: readonly string[], cwd?: string): Promise<Run> {
  const settings = throughDoor(door, { ...child.ports, redirect }, files.caFile)
  const done = await git([...settings.git, ...args], { env: settings.env, ...(cwd && { cwd }) })
  said.push(done)
  return done
}

function url(repository: string): string {
  return `https://agent:${stub}@github.com/${repository}.git`
}

async function workingCopy(
  door: Door,
  repository: string,
  ...options: readonly string[]
): Promise<{ folder: string; done: Run }> {
  const folder = await mkdtemp(join(files.folder, 'copy-'))
  await rm(folder, { recursive: true })
  return { folder, done: await through(door, ['clone', '--quiet', ...options, url(repository), folder]) }
}

describe.each<Door>(['connect', 'transparent'])('through the %s door', (door) => {
  test('a clone asks without a password first, and then with the real one in the place of the stub', async () => {
    const before = server.requests.length
    const { done } = await workingCopy(door, 'crew/homelab')
    expect(done).toMatchObject({ code: 0, stderr: '' })
    const seen = server.requests.slice(before)
    const basic = `Basic ${Buffer.from(`agent:${files.secrets['github']}`).toString('base64')}`
    expect(seen.map(({ status }) => status)).toEqual([401, ...Array(seen.length - 1).fill(200)])
    expect(seen.map(({ authorization }) => authorization)).toEqual([undefined, ...Array(seen.length - 1).fill(basic)])
  })

  test('a push larger than git’s post buffer arrives, and another copy fetches it', async () => {
    const one = await workingCopy(door, 'crew/homelab')
    const other = await workingCopy(door, 'crew/homelab')
    await commitBytes(one.folder, 2_500_000)
    const push = await through(door, ['push', '--quiet', 'origin', 'HEAD:main'], one.folder)
    expect(push).toMatchObject({ code: 0 })
    const pushed = (await git(['rev-parse', 'HEAD'], { cwd: one.folder })).stdout.trim()
    expect(await server.revision('crew/homelab', 'refs/heads/main')).toBe(pushed)
    expect(await through(door, ['fetch', '--quiet', 'origin'], other.folder)).toMatchObject({ code: 0 })
    expect((await git(['rev-parse', 'origin/main'], { cwd: other.folder })).stdout.trim()).toBe(pushed)
  })

  test.each([
    ['a push to a repository that may only be fetched', 'crew/tools', ['push', '--quiet', 'origin', 'HEAD:refs/heads/new']],
    ['a fetch of a repository outside the scopes', 'others/secret', ['fetch', '--quiet', 'origin']],
  ])('%s is refused, readably, and the host sees nothing of it', async (_, repository, args) => {
    const { folder } = await workingCopy(door, 'crew/tools')
    await git(['remote', 'set-url', 'origin', url(repository)], { cwd: folder })
    await commitBytes(folder, 10)
    const before = server.requests.length
    const done = await through(door, args, folder)
    expect(done.code).not.toBe(0)
    expect(done.stderr).toMatch(/403/)
    expect(server.requests.slice(before)).toEqual([])
  })
})

test.skipIf(!tellsMemory)(
  'a pack of 130 MB is cloned and leaves memory flat (skipped where /proc does not tell memory)',
  async () => {
    await server.makeRepository('crew/large', { bytes: 130_000_000 })
    const before = server.requests.length
    const warm = memoryOf(child.pid).now
    forgetPeak(child.pid)
    const { done } = await workingCopy('connect', 'crew/large', '--no-checkout')
    expect(done).toMatchObject({ code: 0 })
    const down = server.requests.slice(before).reduce((sum, { bytesDown }) => sum + bytesDown, 0)
    expect(down).toBeGreaterThan(130_000_000)
    expect(memoryOf(child.pid).peak - warm).toBeLessThan(100)
  },
)

test('neither git nor the audit has heard the real password', () => {
  const sinks = [...said.map(({ stdout, stderr }) => stdout + stderr), files.audit(), child.stderr]
  expect(
    findLeaks(
      files.everSecret,
      sinks.map((text, i) => ({ name: String(i), bytes: Buffer.from(text) })),
    ),
  ).toEqual([])
  expect(files.auditRecords().filter(({ swaps }) => swaps.length > 0).length).toBeGreaterThan(5)
})
