import { describe, expect, it } from 'vitest'
import { formatIssue } from '#config/issue.ts'
import { reviewSettings } from '#config/review-settings.ts'
import { loadSettings } from '#config/settings.ts'

async function review(env: Record<string, string>, flags: Record<string, string> = {}): Promise<readonly string[]> {
  const { settings, origins } = await loadSettings({ env, flags })
  if (!settings) throw new Error('these settings do not load')
  return reviewSettings(settings, origins).map(formatIssue)
}

describe('the admin door', () => {
  it.each([
    ['a port', '9465'],
    ['an address of loopback', '127.0.0.1:9465'],
    ['an address of loopback in IPv6', '[::1]:9465'],
  ])('is doubtful on %s without a token: any process can set budgets', async (_name, place) => {
    const [said = ''] = await review({ IRON_PROXY_LISTEN_ADMIN: place })
    expect(said).toContain('IRON_PROXY_LISTEN_ADMIN listen.admin: warning: any process of this machine can set budgets')
    expect(await review({}, { 'listen-admin': place })).toMatchObject([expect.stringContaining('--listen-admin')])
    expect(await review({ IRON_PROXY_LISTEN_ADMIN: place, IRON_PROXY_ADMIN_TOKEN: 'token' })).toEqual([])
  })

  it.each(['unix:/run/iron-proxy/admin.sock', 'off'])('is well as %s', async (place) => {
    expect(await review({ IRON_PROXY_LISTEN_ADMIN: place })).toEqual([])
  })

  it('is a unix socket, unless someone says otherwise', async () => {
    const { settings } = await loadSettings({ env: {}, flags: {} })
    expect(settings?.listen.admin).toEqual({ socket: '.iron-proxy/admin.sock' })
    expect(await review({})).toEqual([])
  })

  it('is refused at a path that the system does not take', async () => {
    const { issues } = await loadSettings({ env: { IRON_PROXY_LISTEN_ADMIN: `unix:/${'x'.repeat(103)}` }, flags: {} })
    expect(issues.map(({ message }) => message)).toEqual([
      expect.stringContaining('is not a place to listen; write unix: and a path of at most 103 bytes'),
    ])
  })
})
