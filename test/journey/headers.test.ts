import { describe, expect, it } from 'vitest'
import { headerValue, nested, nominated, replyHeaders, requestHeaders } from '#journey/headers.ts'

const hop = [
  'Connection',
  'close',
  'Keep-Alive',
  'x',
  'Proxy-Connection',
  'x',
  'Proxy-Authorization',
  'x',
  'Proxy-Authenticate',
  'x',
  'Trailer',
  'x',
  'Transfer-Encoding',
  'chunked',
  'Upgrade',
  'x',
  'TE',
  'gzip',
]

describe('a request', () => {
  it('leaves without what is of this hop, and without Host', () => {
    expect(requestHeaders(['Host', 'good.test', ...hop, 'X-Kept', '1', 'x-kept', '2'], { decode: false })).toEqual([
      'X-Kept',
      '1',
      'x-kept',
      '2',
    ])
  })

  it('leaves without what Connection names', () => {
    const headers = ['X-Hop', '1', 'Connection', 'keep-alive, X-Hop', 'connection', ' x-other ', 'x-other', '2', 'x-kept', '3']
    expect([...nominated(headers)]).toEqual(['keep-alive', 'x-hop', 'x-other'])
    expect(requestHeaders(headers, { decode: false })).toEqual(['x-kept', '3'])
  })

  it.each([
    'X-Forwardable',
    'X-Originality',
    'X-Method-Name',
    'X-Hostname',
    'X-GitHub-Api-Version',
    'X_Api_Version',
    'Destination',
  ])('keeps %s, which overrides nothing', (name) => {
    expect(requestHeaders([name, '1'], { decode: false })).toEqual([name, '1'])
  })

  it('leaves without what Connection names in another spelling', () => {
    expect(requestHeaders(['X-Hop', '1', 'connection', 'X_Hop', 'x-kept', '2'], { decode: false })).toEqual(['x-kept', '2'])
  })

  it.each([
    'Forwarded',
    'X-Forwarded-For',
    'X-Forwarded-Host',
    'X-Forwarded-Proto',
    'X-Forwarded-Uri',
    'X-Original-URL',
    'X-Rewrite-URL',
    'X-Original-Host',
    'X-HTTP-Method-Override',
    'X-HTTP-Method',
    'X-Method-Override',
    'X-Real-IP',
    'Via',
    'Expect',
    'HTTP2-Settings',
    'X_HTTP_Method_Override',
    'X_Original_URL',
    'x.forwarded_for',
    'X-Forwarded-Client-Cert',
    'X-Forwarded-Port',
    'X-Original-Method',
    'X-Original-Uri',
    'X_Original_Path',
    'X-Method',
    'X-HTTP_Method',
    'X-Host',
    'X-Envoy-Original-Path',
    'X.Envoy.Original.Method',
    'X-Override-URL',
    'X~Rewrite~URL',
    'True_Client_IP',
    'CF-Connecting-IP',
    'X-Cluster-Client-IP',
    'X-Client-IP',
    'Client-Cert',
    'Proxy',
    'Proxy_Authorization',
    'Keep_Alive',
    'X_Run_Id',
    'Transfer_Encoding',
  ])('leaves without %s, which could mislead the host', (name) => {
    expect(requestHeaders([name, 'evil.test', 'a', 'b'], { decode: false })).toEqual(['a', 'b'])
  })

  it.each([
    ['trailers', ['te', 'trailers']],
    ['gzip, Trailers', ['te', 'trailers']],
    ['gzip', []],
    ['trailersx', []],
  ])('with TE: %s keeps %j', (value, kept) => {
    expect(requestHeaders(['TE', value], { decode: false })).toEqual(kept)
  })

  it.each([
    ['gzip, deflate, br, zstd', 'gzip, deflate'],
    ['br, zstd', 'br, zstd'],
    ['gzip;q=0, br', 'gzip;q=0, br'],
    ['gzip;q=0.5, exi, aes128gcm', 'gzip;q=0.5'],
    ['exi', 'identity'],
    ['*', 'identity'],
    ['', 'identity'],
    ['x-gzip , identity;q=0', 'x-gzip, identity;q=0'],
  ])('that accepts %j accepts %j when its reply is searched', (value, kept) => {
    expect(requestHeaders(['Accept-Encoding', value], { decode: true })).toEqual(['Accept-Encoding', kept])
    expect(requestHeaders(['Accept-Encoding', value], { decode: false })).toEqual(['Accept-Encoding', value])
  })

  it('asks for a part of a reply that is searched only where that is safe', () => {
    const headers = ['Range', 'bytes=0-3', 'If-Range', '"a"', 'x', 'y']
    expect(requestHeaders(headers, { decode: true })).toEqual(['x', 'y'])
    expect(requestHeaders(headers, { decode: true, parts: true })).toEqual(headers)
    expect(requestHeaders(headers, { decode: false })).toEqual(headers)
  })
})

describe('a reply', () => {
  it('comes back without what is of this hop and what leads around us', () => {
    expect(
      replyHeaders([...hop, 'Alt-Svc', 'h3=":443"', 'Proxy-Status', 'x', 'Set-Cookie', 'a', 'set-cookie', 'b'], {
        reframed: false,
      }),
    ).toEqual(['Set-Cookie', 'a', 'set-cookie', 'b'])
  })

  it('loses its length only when that changes', () => {
    const headers = ['Content-Length', '5', 'x', 'y']
    expect(replyHeaders(headers, { reframed: true })).toEqual(['x', 'y'])
    expect(replyHeaders(headers, { reframed: false })).toEqual(headers)
  })
})

describe('headers', () => {
  it('are found by name, whatever the case', () => {
    expect(headerValue(['A', '1', 'a', '2'], 'a')).toBe('1')
    expect(headerValue(['b', 'a'], 'a')).toBeUndefined()
  })

  it('are grouped for HTTP/2, with names that objects know kept apart', () => {
    expect(nested(['X', '1', 'x', '2', 'Y', '3', 'x', '4'])).toEqual({ x: ['1', '2', '4'], y: '3' })
    expect(Object.entries(nested(['__proto__', '1', 'constructor', '2']))).toEqual([
      ['__proto__', '1'],
      ['constructor', '2'],
    ])
  })
})
