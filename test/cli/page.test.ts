import { randomBytes } from 'node:crypto'
import { mkdtempDisposable, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { dispatched } from '../kit/dispatched.ts'
import { scenario } from '../kit/scenario.ts'
import { within } from '../kit/within.ts'

const policy = 'version: 1\nagents: {coder: {from: [{cidr: 127.0.0.0/8}]}}\nrules: [{id: open, hosts: [open.test]}]\n'

describe('page', () => {
  it('leads a browser to the socket by its own link alone', async () => {
    await using made = await mkdtempDisposable(join(tmpdir(), 'page-'))
    const socket = `unix:${join(made.path, 'admin.sock')}`
    await using s = await scenario({ policy, upstreams: {}, settings: { listen: { admin: socket } } })
    expect(s.app.snapshotHash()).toBeDefined()
    const stdout = new PassThrough()
    let said = ''
    stdout.on('data', (text) => (said += String(text)))
    let stop = () => {}
    const onSignal = (name: string, act: () => void) => {
      if (name === 'SIGINT') stop = act
      return () => {}
    }
    const serving = dispatched(['page', '--listen-admin', socket], { stdout, onSignal })
    await within(() => said.includes('/open/'))
    const link = said.trim()
    const { origin } = new URL(link)
    expect((await fetch(`${origin}/`)).status).toBe(403)
    expect((await fetch(`${origin}/open/${'x'.repeat(43)}`)).status).toBe(403)
    const opened = await fetch(link, { redirect: 'manual' })
    expect([opened.status, opened.headers.get('location')]).toEqual([303, '/'])
    const [cookie = ''] = opened.headers.getSetCookie()[0]?.split(';') ?? []
    expect(opened.headers.getSetCookie()[0]).toMatch(/; HttpOnly; SameSite=Strict/)
    const shown = await fetch(`${origin}/`, { headers: { cookie } })
    expect([shown.status, await shown.text()]).toEqual([200, expect.stringContaining('coder')])
    stop()
    expect((await serving).code).toBe(0)
  })

  it('of a port asks for the token once, and gives a session that is good for pages and for nothing else', async () => {
    await using made = await mkdtempDisposable(join(tmpdir(), 'page-'))
    const token = randomBytes(16).toString('hex')
    const adminToken = join(made.path, 'token')
    await writeFile(adminToken, token)
    await using s = await scenario({ policy, upstreams: {}, settings: { adminToken } })
    const at = `http://127.0.0.1:${s.ports.admin}`
    expect((await dispatched(['page', '--listen-admin', `127.0.0.1:${s.ports.admin}`])).stdout).toBe(`${at}/\n`)
    for (const path of ['/', '/runs', '/runs/x', '/policy', '/events?page=/']) {
      const asked = await fetch(at + path)
      expect([asked.status, await asked.text()]).toEqual([403, expect.stringContaining('Admin token')])
    }
    const sign = (given: string) =>
      fetch(`${at}/session`, { method: 'POST', body: new URLSearchParams({ token: given }), redirect: 'manual' })
    expect((await sign('wrong')).headers.getSetCookie()).toEqual([])
    const [cookie = ''] = (await sign(token)).headers.getSetCookie()[0]?.split(';') ?? []
    expect((await fetch(`${at}/`, { headers: { cookie } })).status).toBe(200)
    expect((await fetch(`${at}/v1/status`, { headers: { cookie } })).status).toBe(401)
    expect((await fetch(`${at}/`, { headers: { authorization: `Bearer ${token}` } })).status).toBe(200)
    expect((await fetch(`${at}/nothing`)).status).toBe(401)
    for (let i = 0; i < 20; i += 1) await sign('wrong')
    expect((await sign(token)).headers.getSetCookie()).toEqual([])
    expect((await fetch(`${at}/`, { headers: { cookie } })).status).toBe(200)
  })
})
