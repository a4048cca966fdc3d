import { createHash, randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { credentialSchema } from '#credentials/index.ts'
import type { Signed } from '#credentials/types.ts'
import { hashes } from '#vault/hashes.ts'
import { claimOf, presignedBy, presignedFault, signatureFault } from '../../kit/aws.ts'
import { credential, find, outcome, swapped, type Request } from '../../kit/credentials.ts'

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
  /** The headers that the agent had signed. */
  readonly names?: string
}

/** Signs a request whose stub has been exchanged, as the last step before it leaves. */
async function signed(
  leaving: Leaving,
): Promise<{ readonly fault: string | undefined; readonly reply: Signed; readonly read: number }> {
  const { method = 'GET', path = '/', query = '', headers = [], body = '', service = 's3', names } = leaving
  let read = 0
  const head = [
    'host',
    'good.test',
    ...headers,
    'Authorization',
    claimOf(accessKeyId, { service, ...(names !== undefined && { names }) }),
  ]
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
    expect(outcome({ all: [temporary], head: { query: `?Security-Token=${stub}` } })).toBe('stub_misplaced')
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

  it('refuses what is presigned for another region, by the old signature, or with a token of someone else', () => {
    const of = (query: string): Request => ({ all: [aws], head: { query: `?${query}` } })
    expect(outcome(of(presignedBy(stub)))).toBe('swapped')
    expect(detailOf(of(presignedBy(stub, { region: 'us-west-2' })))).toContain('for the region us-west-2')
    expect(detailOf(of(`AWSAccessKeyId=${stub}&Signature=x&Expires=1`))).toContain('of Signature Version 4')
    expect(outcome(of(`${presignedBy(stub)}&X-Amz-Security-Token=other`))).toBe('foreign_credential')
    expect(outcome(of(presignedBy('AKIASOMEONEELSE00000')))).toBe('foreign_credential')
    expect(outcome(of(`${presignedBy(stub)}&x-amz-credential=${stub}`))).toBe('stub_misplaced')
    expect(outcome(of(`X-Amz-Signature=${'0'.repeat(64)}`))).toBe('foreign_credential')
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

  it.each<[string, readonly string[]]>([
    ['Content-MD5', ['Content-MD5', 'XUFAKrxLKna5cZ2REBfFkg==']],
    ['Content-Length and Accept-Encoding', ['Content-Length', '0', 'Accept-Encoding', 'identity']],
    ['Range, If-Match and Cache-Control', ['Range', 'bytes=0-9', 'If-Match', '"a"', 'Cache-Control', 'no-cache']],
    ['User-Agent and headers of its own', ['User-Agent', 'agent/1', 'X-Custom', '  many   spaces ', 'Date', 'today']],
  ])('signs %s where the agent had signed it', async (_what, headers) => {
    const names = headers.filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase())
    const all = ['host', 'x-amz-date', ...names, 'te'].toSorted().join(';')
    const { fault, reply } = await signed({ method: 'PUT', headers: [...headers], names: all })
    expect(fault).toBeUndefined()
    const [, over = ''] = /SignedHeaders=([^,]+)/.exec(reply.headers.join('\n')) ?? []
    // `date` is written beside x-amz-date and never signed; `te` ended at the proxy.
    expect(over.split(';')).toEqual(expect.arrayContaining(names.filter((name) => name !== 'date')))
    expect(over.split(';')).not.toContain('te')
    const unsigned = await signed({ method: 'PUT', headers: [...headers] })
    expect(unsigned.reply.headers.join('\n')).toContain('SignedHeaders=host;x-amz-content-sha256;x-amz-date,')
  })

  describe('of a presigned URL', () => {
    const at = Date.UTC(2026, 0, 2, 3, 4, 5, 678)
    const url = async (
      query: string,
      some: { method?: string; path?: string; headers?: readonly string[]; body?: string } = {},
    ) => {
      const { method = 'GET', path = '/bucket/a%20key', headers = [], body = '' } = some
      const rawHeaders = ['host', 'good.test', ...headers]
      const unsigned = { method, path, query: `?${query}`, headers: rawHeaders, whole: async () => Buffer.from(body) }
      const reply = await aws.placer.sign?.(unsigned, () => secret, { now: at, hashes })
      const target = path + (reply?.query ?? '')
      return { target, fault: presignedFault({ method, target, rawHeaders, body: Buffer.from(body) }, { accessKeyId, secret }) }
    }

    it.each([
      ['a GET', presignedBy(accessKeyId), {}],
      ['a GET with parameters in any order', `response-content-type=text%2Fplain&${presignedBy(accessKeyId)}&x-id=GetObject`, {}],
      [
        'a PUT whose type was signed',
        presignedBy(accessKeyId, { names: 'content-type;host' }),
        { method: 'PUT', headers: ['Content-Type', 'text/plain', 'x-amz-meta-a', 'b'], body: 'x' },
      ],
      [
        'a PUT that says it signs no body',
        `X-Amz-Content-Sha256=UNSIGNED-PAYLOAD&${presignedBy(accessKeyId)}`,
        { method: 'PUT', body: 'x' },
      ],
      [
        'a call of STS',
        `Action=GetCallerIdentity&Version=2011-06-15&${presignedBy(accessKeyId, { service: 'sts' })}`,
        { path: '/' },
      ],
    ])('signs %s so that another implementation agrees', async (_what, query, some) => {
      expect((await url(query, some)).fault).toBeUndefined()
    })

    it('is good for what is left of its time, and five minutes at most', async () => {
      const expires = async (options: Parameters<typeof presignedBy>[1]) =>
        new URLSearchParams((await url(presignedBy(accessKeyId, options))).target.split('?')[1]).get('X-Amz-Expires')
      expect(await expires({ expires: 604_800 })).toBe('300')
      expect(await expires({ date: '20260102T030400Z', expires: 60 })).toBe('55')
    })

    it.each([
      ['that has expired', presignedBy(accessKeyId, { date: '20260102T030000Z', expires: 60 })],
      ['without a date', presignedBy(accessKeyId).replace(/X-Amz-Date=\w+&/, '')],
      ['that never ends', presignedBy(accessKeyId).replace('Expires=3600', 'Expires=1e9')],
      ['without a signature', presignedBy(accessKeyId).replace(/&X-Amz-Signature=.*/, '')],
      ['with two dates', `${presignedBy(accessKeyId)}&x-amz-date=20260102T030400Z`],
      ['for several regions', presignedBy(accessKeyId).replace('HMAC', 'ECDSA-P256')],
      ['of another key', presignedBy('AKIASOMEONEELSE00000')],
      ['for another service', presignedBy(accessKeyId, { service: 'iam' })],
      ['that names the hash of its body', `X-Amz-Content-Sha256=${sha256('')}&${presignedBy(accessKeyId)}`],
    ])('does not sign one %s', async (_what, query) => {
      await expect(url(query)).rejects.toMatchObject({ code: 'bad_credential' })
    })

    it('does not sign what is signed in Authorization too', async () => {
      const headers = ['Authorization', claimOf(accessKeyId)]
      await expect(url(presignedBy(accessKeyId), { headers })).rejects.toMatchObject({ code: 'bad_credential' })
    })
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
