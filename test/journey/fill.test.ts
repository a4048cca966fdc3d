import { describe, expect, it } from 'vitest'
import { findInBody } from '#journey/fill.ts'
import type { Credential } from '#credentials/types.ts'
import { credential } from '../kit/credentials.ts'
import { bodyOf, headOf } from './parts.ts'

const slack = credential('slack', {
  kind: 'body',
  stub: 'stub-of-slack',
  secret: { env: 'T' },
  hosts: ['slack.com'],
  paths: ['/api'],
  field: 'token',
  maxBytes: 100,
})
const form = 'application/x-www-form-urlencoded'

interface Ask {
  readonly type?: string
  readonly path?: string
  readonly foreign?: 'refuse' | 'allow'
  readonly credentials?: readonly Credential[]
  readonly more?: readonly string[]
}

function find(text: string, { type = form, path = '/api', foreign = 'refuse', credentials = [slack], more = [] }: Ask = {}) {
  const head = headOf({ host: 'slack.com', method: 'POST', path, headers: ['Content-Type', type, ...more] })
  let proceeded = 0
  const found = findInBody(head, bodyOf([text]), { credentials, foreign, rule: undefined }, { proceed: () => (proceeded += 1) })
  return found.then((whole) => ({ whole, proceeded }))
}

describe('a body', () => {
  it('is read whole where a credential travels in it, and can be read once more', async () => {
    const { whole, proceeded } = await find('a=1&token=stub-of-slack')
    expect(proceeded).toBe(1)
    expect(whole?.placements).toMatchObject([{ credential: slack, start: 10, end: 23 }])
    let text = ''
    for await (const chunk of whole?.body.chunks ?? []) text += Buffer.from(chunk).toString()
    expect(text).toBe('a=1&token=stub-of-slack')
    expect(whole?.body.length).toBe(text.length)
  })

  it.each([
    ['on another path', { path: '/other' }],
    ['of another type', { type: 'text/plain' }],
    ['in another charset', { type: `${form}; charset=utf-16` }],
    ['that is compressed', { more: ['Content-Encoding', 'gzip'] }],
    ['of an agent without the credential', { credentials: [] }],
  ])('%s is not touched, and nobody is told to go on', async (_what, some) => {
    expect(await find('token=stub-of-slack', some)).toEqual({ whole: undefined, proceeded: 0 })
  })

  it('with another value in the place is refused, unless foreign ones are allowed', async () => {
    const { whole } = await find('token=xoxb')
    expect(whole).toMatchObject({ placements: [], refused: { credential: 'slack', denial: { code: 'foreign_credential' } } })
    expect((await find('token=xoxb', { foreign: 'allow' })).whole).toMatchObject({ placements: [], refused: undefined })
  })

  it('with the place twice is refused', async () => {
    const { whole } = await find('token=stub-of-slack&token=stub-of-slack')
    expect(whole).toMatchObject({ placements: [], refused: { denial: { code: 'stub_misplaced' } } })
  })

  it('without the place goes out as it is', async () => {
    expect((await find('a=1')).whole).toMatchObject({ placements: [], refused: undefined })
  })

  it('past its limit is refused before it is held', async () => {
    await expect(find(`token=stub-of-slack&x=${'x'.repeat(100)}`)).rejects.toMatchObject({ code: 'body_too_large' })
  })
})
