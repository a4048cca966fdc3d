import { mkdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { App } from '#app.ts'
import { startTestApp } from '../kit/app.ts'
import { dispatched } from '../kit/dispatched.ts'
import { makeWorkspace, type Workspace } from '../kit/workspace.ts'

const policy = `version: 1
agents:
  local: {from: [{cidr: 127.0.0.0/8}], budget: day}
budgets:
  day: {window: day, tokens: 1000}
rules: []
`

let files: Workspace
let app: App
let socket: string
const log: string[] = []

beforeAll(async () => {
  files = await makeWorkspace(policy, [])
  socket = join(files.folder, 'admin.sock')
  app = await startTestApp(
    {
      policies: files.policies,
      listen: { dns: 'off', admin: `unix:${socket}` },
      state: join(files.folder, 'state.db'),
      sealKey: join(files.folder, 'seal.key'),
      ca: { cert: files.caFile, key: files.caKeyFile },
      audit: { stdout: false, file: files.auditFile },
    },
    (line) => void log.push(line),
  )
})

afterAll(async () => {
  await app.stop()
  await files[Symbol.asyncDispose]()
})

describe('the admin door as a unix socket', () => {
  it('serves the commands that are given its path', async () => {
    const { code, stdout } = await dispatched(['budget', 'show', '--json', '--listen-admin', `unix:${socket}`])
    expect([code, JSON.parse(stdout)]).toMatchObject([0, [{ budget: 'day', holder: 'local' }]])
  })

  it('is found in the user’s home where nothing else is said', async () => {
    const home = join(files.folder, 'home')
    await mkdir(join(home, '.iron-proxy'), { recursive: true })
    await symlink(socket, join(home, '.iron-proxy', 'admin.sock'))
    expect(await dispatched(['budget', 'show', '--json'], { env: { HOME: home } })).toMatchObject({ code: 0 })
  })

  it('has no page for browsers, and `login` says what to do instead', async () => {
    const { code, stderr } = await dispatched(['login', 'any', '--page', '--listen-admin', `unix:${socket}`])
    expect([code, stderr]).toEqual([78, expect.stringContaining('the admin door is a unix socket, which no browser opens')])
  })

  it('names itself where no proxy answers', async () => {
    const { code, stderr } = await dispatched(['budget', 'show', '--listen-admin', 'unix:/nowhere/admin.sock'])
    expect(code).toBe(69)
    expect(stderr).toContain('no proxy answers on unix:/nowhere/admin.sock (there is no such socket')
  })

  it('refuses to start a second proxy on its path', async () => {
    const settings = { policies: files.policies, listen: { dns: 'off', admin: `unix:${socket}` } } as const
    const other = { state: join(files.folder, 'other.db'), sealKey: join(files.folder, 'other.key') }
    const ca = { cert: files.caFile, key: files.caKeyFile }
    await expect(startTestApp({ ...settings, ...other, ca, audit: { stdout: false } }, () => {})).rejects.toMatchObject({
      code: 'EADDRINUSE',
      message: expect.stringContaining('another proxy answers on'),
    })
  })
})
