import { describe, expect, it } from 'vitest'
import { scenario } from '../kit/scenario.ts'
import { startUpstream } from '../kit/upstream.ts'
import type { Upstream } from '../kit/upstream.ts'

const policy = `version: 1
agents:
  devbot: {from: [{cidr: 127.0.0.0/8}]}
credentials:
  slack: {kind: body, stub: stub-of-slack, secret: {file: secrets/slack}, hosts: [slack.com], paths: [/echo/auth], field: token, maxBytes: 1000}
  ticket: {kind: body, stub: stub-of-ticket, secret: {file: secrets/ticket}, hosts: [slack.com], paths: [/echo/ticket], pointer: /auth/token}
rules:
  - {id: slack, hosts: [slack.com], credentials: [slack, ticket]}
`

async function stage() {
  const s = await scenario({
    policy,
    secrets: ['slack', 'ticket'],
    upstreams: {
      api: {
        hosts: ['slack.com'],
        start: ({ certificate }): Promise<Upstream> => startUpstream({ certificate }),
      },
    },
  })
  const post = (path: string, args: readonly string[]) => s.curl('transparent', `https://slack.com${path}`, args)
  const last = () => s.upstreams.api.requests.at(-1)
  return { s, post, last, [Symbol.asyncDispose]: () => s[Symbol.asyncDispose]() }
}

const json = ['-H', 'Content-Type: application/json; charset=utf-8', '-d'] as const

describe('a credential in a body', () => {
  it.each(['--http1.1', '--http2'])('is put into a form and into JSON on the way out (%s)', async (version) => {
    await using on = await stage()
    expect((await on.post('/echo/auth', [version, '-d', 'a=1&token=stub-of-slack&b=2'])).status).toBe(200)
    const form = new URLSearchParams(on.last()?.body.toString())
    expect(form.get('token')).toBe(on.s.files.secrets['slack'])
    expect([form.get('a'), form.get('b')]).toEqual(['1', '2'])
    expect((await on.post('/echo/ticket', [version, ...json, '{"auth":{"token":"stub-of-ticket"},"n":1.0}'])).status).toBe(200)
    expect(on.last()?.body.toString()).toBe(`{"auth":{"token":${JSON.stringify(on.s.files.secrets['ticket'])}},"n":1.0}`)
    expect(await on.s.audited({ path: '/echo/ticket' })).toMatchObject({
      swaps: [{ credential: 'ticket', place: 'body:/auth/token' }],
    })
    expect(await on.s.canaryFoundIn()).toEqual([])
  })

  it('is put into a body whose length was not announced', async () => {
    await using on = await stage()
    await on.post('/echo/auth', ['-H', 'Transfer-Encoding: chunked', '-d', 'token=stub-of-slack'])
    expect(new URLSearchParams(on.last()?.body.toString()).get('token')).toBe(on.s.files.secrets['slack'])
  })

  it('stays a stub on any other path, in another field, and in another media type', async () => {
    await using on = await stage()
    for (const [path, args] of [
      ['/echo/other', ['-d', 'token=stub-of-slack']],
      ['/echo/auth', ['-d', 'text=stub-of-slack']],
      ['/echo/auth', ['-H', 'Content-Type: text/plain', '-d', 'token=stub-of-slack']],
      ['/echo/auth', ['-H', 'Content-Encoding: gzip', '-d', 'token=stub-of-slack']],
    ] as const) {
      expect((await on.post(path, args)).status).toBe(200)
      expect(on.last()?.body.toString()).toContain('stub-of-slack')
    }
  })

  it.each([
    ['someone else’s value', 'token=xoxb-of-someone', 403, 'foreign_credential'],
    ['the field twice', 'token=stub-of-slack&token=stub-of-slack', 403, 'stub_misplaced'],
    ['more than it may be', `token=stub-of-slack&x=${'x'.repeat(1000)}`, 413, 'body_too_large'],
  ])('with %s is refused', async (_what, sent, status, code) => {
    await using on = await stage()
    const reply = await on.post('/echo/auth', ['-d', sent])
    expect([reply.status, (JSON.parse(reply.body.toString()) as { error: { code: string } }).error.code]).toEqual([status, code])
    expect(on.s.upstreams.api.requests).toHaveLength(0)
    expect((await on.post('/echo/auth', ['-d', 'token=stub-of-slack'])).status).toBe(200)
  })

  it('as the real value is refused like anywhere', async () => {
    await using on = await stage()
    const reply = await on.post('/echo/auth', ['--data-urlencode', `token=${on.s.files.secrets['slack']}`])
    expect(reply.status).toBe(403)
    expect(await on.s.audited({ code: 'real_value_seen' })).toMatchObject({ credential: 'slack' })
  })
})
