import { createHash, randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { credentialSchema } from '#credentials/index.ts'
import type { Signed } from '#credentials/types.ts'
import { hashes } from '#vault/hashes.ts'
import { claimOf, signatureFault } from '../kit/aws.ts'
import { credential, find, outcome, swapped, type Request } from '../kit/credentials.ts'

const stub = 'AKIASTUBSTUBSTUBSTUB'
const accessKeyId = `AKIA${randomBytes(8).toString('hex').toUpperCase()}`
const secret = randomBytes(30).toString('base64')
const entry = {
  kind: 'aws-sigv4',
  stub,
  accessKeyId,
  secret: { env: 'KEY' },
  regions: ['us-east-1', 'eu-central-1'],
  services: ['s3', 'bedrock', 'sts'],
  hosts: ['good.test'],
}
const aws = credential('aws', entry)
const sent = (authorization: string, more: Request['head'] = {}): Request => ({
  all: [aws],
  head: { headers: ['Authorization', authorization], ...more },
})
const detailOf = (request: Request): string => {
  const found = find(request)
  return found.kind === 'refused' ? found.detail : 'found'
}

interface Leaving {
  readonly method?: string
  readonly path?: string
  readonly query?: string
  readonly headers?: readonly string[]
  readonly body?: string
  readonly service?: string
}

/** Signs a request whose stub has been exchanged, as the last step before it leaves. */
async function signed(
  leaving: Leaving,
): Promise<{ readonly fault: string | undefined; readonly reply: Signed; readonly read: number }> {
  const { method = 'GET', path = '/', query = '', headers = [], body = '', service = 's3' } = leaving
  let read = 0
  const head = ['host', 'good.test', ...headers, 'Authorization', claimOf(accessKeyId, { service })]
  const reply = await aws.placer.sign?.(
    {
      method,
      path,
      query,
      headers: head,
      whole: async (most) => {
        read = most
        return Buffer.from(body)
      },
    },
    () => secret,
    { now: Date.UTC(2026, 0, 2, 3, 4, 5, 678), hashes },
  )
  if (!reply) throw new Error('it does not sign')
  const arrived = { method, target: path + query, rawHeaders: reply.headers, body: Buffer.from(body) }
  return { fault: signatureFault(arrived, { accessKeyId, secret }), reply, read }
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')

describe('an aws-sigv4 credential of a session', () => {
  const { accessKeyId: _id, secret: _secret, ...rest } = entry
  const temporary = credential('aws', { ...rest, session: { file: '/s.json' } })
  const session = {
    accessKeyId: `ASIA${randomBytes(8).toString('hex').toUpperCase()}`,
    sessionToken: randomBytes(200).toString('base64'),
  }

  it('names one file for all three of its values', () => {
    expect(temporary.secret).toEqual({ file: '/s.json', jsonKey: 'SecretAccessKey' })
    expect(temporary.companions).toEqual({
      accessKeyId: { file: '/s.json', jsonKey: 'AccessKeyId' },
      sessionToken: { file: '/s.json', jsonKey: 'SessionToken' },
    })
  })

  it.each(['s3', 'bedrock'])('sends and signs the real token to %s in place of the one of the agent', async (service) => {
    const headers = ['host', 'good.test', 'X-Amz-Security-Token', stub, 'Authorization', claimOf(stub, { service })]
    const found = find({ all: [temporary], head: { headers } })
    expect(found).toMatchObject({ kind: 'found', placements: [{ name: 'x-amz-security-token' }, { name: 'authorization' }] })
    const reply = await temporary.placer.sign?.(
      { method: 'GET', path: '/', query: '', headers, whole: async () => new Uint8Array(0) },
      (name) => (name === undefined ? secret : session[name as keyof typeof session]),
      { now: Date.UTC(2026, 0, 2), hashes },
    )
    const rawHeaders = reply?.headers ?? []
    const arrived = { method: 'GET', target: '/', rawHeaders, body: new Uint8Array(0) }
    expect(signatureFault(arrived, { accessKeyId: session.accessKeyId, secret })).toBeUndefined()
    const tokens = rawHeaders.filter((_, i) => i % 2 === 1 && rawHeaders[i - 1]?.toLowerCase() === 'x-amz-security-token')
    expect(tokens).toEqual([session.sessionToken])
    expect(rawHeaders.join()).not.toContain(stub)
  })

  it('refuses a token that is not the stub, and the stub as a token anywhere else', () => {
    const headers = ['Authorization', claimOf(stub), 'X-Amz-Security-Token', 'someone else’s']
    expect(outcome({ all: [temporary], head: { headers } })).toBe('foreign_credential')
    expect(outcome({ all: [temporary], head: { query: `?X-Amz-Security-Token=${stub}` } })).toBe('stub_misplaced')
    expect(outcome({ all: [temporary], head: { headers: ['X-Amz-Security-Token', `${stub}.more`] } })).toBe('foreign_credential')
  })

  it.each([
    ['a key id beside it', { accessKeyId }],
    ['a secret beside it', { secret: { env: 'KEY' } }],
    ['one member of it', { session: { file: '/s.json', jsonKey: 'Credentials' } }],
    ['neither', { session: undefined }],
  ])('is not made with %s', (_what, change) => {
    expect(credentialSchema.safeParse({ ...rest, session: { file: '/s.json' }, ...change }).success).toBe(false)
  })

  it('signs nothing when the key id is none', async () => {
    const unsigned = {
      method: 'GET',
      path: '/',
      query: '',
      headers: ['Authorization', claimOf(stub)],
      whole: async () => new Uint8Array(0),
    }
    const signing = temporary.placer.sign?.(unsigned, () => 'not a key id', { now: 0, hashes })
    await expect(signing).rejects.toMatchObject({ code: 'credential_unavailable' })
  })
})

describe('an aws-sigv4 credential', () => {
  it('takes what was signed with the stub for a region and a service of its own, and places nothing of the secret', () => {
    for (const scope of [{}, { region: 'eu-central-1', service: 'bedrock' }]) {
      const { headers, swaps } = swapped(sent(claimOf(stub, scope)), secret)
      expect(swaps).toEqual([{ credential: 'aws', place: 'header:authorization' }])
      expect(headers.join()).not.toContain(stub)
      expect(headers.join()).not.toContain(secret)
    }
  })

  it.each([
    [
      'for another region',
      claimOf(stub, { region: 'us-east-2' }),
      'for the region us-east-2, and not for us-east-1, eu-central-1',
    ],
    ['for another service', claimOf(stub, { service: 'iam' }), 'for the service iam, and not for s3, bedrock, sts'],
    ['for the beginning of a region', claimOf(stub, { region: 'us-east' }), 'for the region us-east,'],
    ['in capitals', claimOf(stub, { region: 'US-EAST-1' }), 'does not use its stub as sent'],
    ['for several regions', claimOf(stub).replace('HMAC', 'ECDSA-P256'), 'sign for one region, with AWS4-HMAC-SHA256'],
    ['without a signature', claimOf(stub).replace(/, Signature=.*/, ''), 'does not use its stub as sent'],
    ['with another purpose', claimOf(stub).replace('aws4_request', 'aws5_request'), 'does not use its stub as sent'],
    ['as a bearer token', `Bearer ${stub}`, 'does not use its stub as sent'],
  ])('refuses what was signed %s', (_what, authorization, words) => {
    expect(outcome(sent(authorization))).toBe('stub_misplaced')
    expect(detailOf(sent(authorization))).toContain(words)
  })

  it('refuses a presigned URL and says what to do', () => {
    const query = `?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=${stub}%2F20260101%2Fus-east-1%2Fs3%2Faws4_request`
    const presigned = { all: [aws], head: { query } }
    expect(outcome(presigned)).toBe('stub_misplaced')
    expect(detailOf(presigned)).toContain('presigned URLs are not signed anew; sign in the Authorization header')
  })

  it('refuses the stub on another host, and a key or a session of someone else', () => {
    expect(outcome(sent(claimOf(stub), { host: 'other.test' }))).toBe('stub_wrong_host')
    expect(outcome(sent(claimOf('AKIASOMEONEELSE00000')))).toBe('foreign_credential')
    const session = ['Authorization', claimOf(stub), 'X-Amz-Security-Token', 'someone else’s']
    expect(outcome({ all: [aws], head: { headers: session } })).toBe('foreign_credential')
  })

  it.each<[string, Leaving]>([
    ['a plain GET', {}],
    ['a GET with a query in no order', { query: '?prefix=b%2Fa&list-type=2&delimiter=%2F&empty=&flag&a=%7Etilde' }],
    ['a query with spaces and an unusual alphabet', { query: '?prefix=a+b%20c&marker=%E2%82%AC' }],
    ['an S3 key with marks of all kinds', { path: "/bucket/a%20b/(c)/d!e'f*g/%E2%82%AC/h+i/j~k=l@m:n,o;p&q$r" }],
    ['an S3 key with empty segments', { path: '/bucket//a///b/' }],
    ['a model id with a colon', { service: 'bedrock', path: '/model/claude-v1%3A0/invoke', method: 'POST', body: '{"a":1}' }],
    ['a model id with a colon as it is', { service: 'bedrock', path: '/model/claude-v1:0/converse', method: 'POST', body: '{}' }],
    ['a call with two slashes', { service: 'sts', path: '//', method: 'POST', body: 'Action=GetCallerIdentity' }],
    ['several values of one parameter', { service: 'sts', query: '?b=2&a=1&b=1' }],
    ['metadata with spaces', { headers: ['x-amz-meta-a', '  many   spaces  ', 'Content-Type', 'text/plain; charset=utf-8'] }],
    ['a declared hash', { method: 'PUT', headers: ['X-Amz-Content-Sha256', sha256('hello')], body: 'hello' }],
    ['an unsigned body', { method: 'PUT', headers: ['x-amz-content-sha256', 'UNSIGNED-PAYLOAD'], body: 'hello' }],
    [
      'an unsigned body with a trailer',
      { method: 'PUT', headers: ['x-amz-content-sha256', 'STREAMING-UNSIGNED-PAYLOAD-TRAILER'], body: 'x' },
    ],
  ])('signs %s so that another implementation agrees', async (_what, leaving) => {
    expect((await signed(leaving)).fault).toBeUndefined()
  })

  it('signs with its own time, and leaves nothing of what the agent signed', async () => {
    const { reply } = await signed({
      headers: [
        'X-Amz-Date',
        '20200101T000000Z',
        'x-amz-security-token',
        'session',
        'Accept-Encoding',
        'gzip',
        'X-Amz-Target',
        'T',
      ],
    })
    const text = reply.headers.join('\n')
    expect(text).toMatch(/^x-amz-date\n20260102T030405Z$/m)
    expect(text).not.toMatch(/20200101|session|0{64}/)
    expect(text).toContain('SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-target,')
    expect(reply.headers.filter((name) => name.toLowerCase() === 'authorization')).toHaveLength(1)
    expect(reply.headers).toEqual(expect.arrayContaining(['Accept-Encoding', 'gzip']))
  })

  it('reads the body only where its hash is not said, and up to 8 MiB', async () => {
    expect((await signed({ headers: ['x-amz-content-sha256', sha256('')] })).read).toBe(0)
    expect((await signed({ headers: ['x-amz-content-sha256', 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD'] })).read).toBe(0)
    expect((await signed({ service: 'bedrock', method: 'POST', body: '{}' })).read).toBe(8 << 20)
  })

  it.each([
    ['SigV4a chunks', ['x-amz-content-sha256', 'STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD']],
    ['signed events', ['x-amz-content-sha256', 'STREAMING-AWS4-HMAC-SHA256-EVENTS']],
    ['a hash in capitals', ['x-amz-content-sha256', sha256('').toUpperCase()]],
    ['two hashes', ['x-amz-content-sha256', sha256(''), 'X-Amz-Content-Sha256', sha256('a')]],
    ['two signatures', ['authorization', claimOf(accessKeyId)]],
  ])('does not sign %s', async (_what, headers) => {
    await expect(signed({ headers })).rejects.toMatchObject({ code: 'bad_credential' })
  })

  it.each([
    ['no region', { regions: [] }],
    ['a region in capitals', { regions: ['US-EAST-1'] }],
    ['every region', { regions: ['*'] }],
    ['no service', { services: undefined }],
    ['an access key id that is none', { accessKeyId: 'a key' }],
    ['a secret in place of where it stands', { secret: 'something' }],
  ])('refuses %s in the policy', (_what, change) => {
    expect(credentialSchema.safeParse({ ...entry, ...change }).success).toBe(false)
  })
})
