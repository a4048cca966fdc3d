import { describe, expect, it } from 'vitest'
import { createHash } from 'node:crypto'
import { loginPage, notePage } from '#admin/login-page.ts'

const hostile = `"><script>alert('x')</script>&`
const page = { credential: 'claude', url: 'https://login.test/?a=1&b=2', action: '/login/code/token' }

describe('the login page', () => {
  it('has the link and the form, and loads nothing', () => {
    const { status, type, body, headers } = loginPage(page)
    expect(status).toBe(200)
    expect(type).toBe('text/html; charset=utf-8')
    expect(body).toContain('href="https://login.test/?a=1&#38;b=2"')
    expect(body).toContain('<form method="post" action="/login/code/token">')
    expect(body.match(/(?:src|href|action)="(?!https:\/\/login\.test\/|\/login\/)/g)).toBeNull()
    expect(body).not.toContain('<script')
    expect(headers?.['content-security-policy']).toContain("default-src 'none'")
    expect(headers?.['content-security-policy']).toContain("form-action 'self'")
    expect(headers?.['referrer-policy']).toBe('same-origin')
  })

  it('may style itself with the very style it has', () => {
    const { body, headers } = loginPage(page)
    const style = /<style>(.*)<\/style>/.exec(body)?.[1] ?? ''
    const hash = createHash('sha256').update(style).digest('base64')
    expect(style).not.toBe('')
    expect(headers?.['content-security-policy']).toContain(`style-src 'sha256-${hash}'`)
  })

  it.each([
    ['credential', loginPage({ ...page, credential: hostile })],
    ['url', loginPage({ ...page, url: hostile })],
    ['problem', loginPage({ ...page, problem: hostile })],
    ['note', notePage(410, hostile, hostile)],
  ])('shows a hostile %s as text', (_name, { body }) => {
    expect(body).not.toContain('<script>alert')
    expect(body).toContain('&#34;&#62;&#60;script&#62;alert(&#39;x&#39;)&#60;/script&#62;&#38;')
  })

  it('says what went wrong before', () => {
    expect(loginPage({ ...page, problem: 'the code is old' })).toMatchObject({ status: 409 })
    expect(loginPage({ ...page, problem: 'the code is old' }).body).toContain('<p role="status">the code is old</p>')
  })
})
