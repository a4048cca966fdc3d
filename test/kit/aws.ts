/** What AWS itself published to check a signer by, and a verifier that knows nothing of ours. */
import { createHash, createHmac } from 'node:crypto'
import aws4 from 'aws4'

/**
 * The examples of https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html and …/sigv4-streaming-trailers.html:
 * 65 KiB of the letter a, in two chunks. The key is that of the documentation, and joined here so that no scanner takes it
 * for one that works.
 */
export const example = {
  key: {
    accessKeyId: ['AKIA', 'IOSFODNN7', 'EXAMPLE'].join(''),
    real: () => ['wJalrXUtnFEMI', '/K7MDENG', '/bPxRfiCY', 'EXAMPLEKEY'].join(''),
  },
  time: Date.UTC(2013, 4, 24),
  chunks: {
    seed: '4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9',
    signatures: [
      'ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648',
      '0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497',
      'b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9',
    ],
  },
  trailer: {
    seed: '106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e',
    signatures: [
      'b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2',
      '1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7',
      '2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992',
      'd81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435',
    ],
  },
} as const

export interface AwsKey {
  readonly accessKeyId: string
  readonly secret: string
}

/** A request as it arrived. Headers are flat. */
export interface Arrived {
  readonly method: string
  readonly target: string
  readonly rawHeaders: readonly string[]
  readonly body: Uint8Array
}

/**
 * What AWS would find wrong with the signature of a request, by signing it once more with the package `aws4`;
 * `undefined`: nothing. Also compares the hash that is said, and the signatures of chunks.
 */
export function signatureFault(request: Arrived, key: AwsKey): string | undefined {
  const headers = joined(request.rawHeaders)
  const authorization = headers['authorization'] ?? ''
  const [, keyId, date = '', region = '', service = '', names = '', signature = ''] =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/([^/]+)\/aws4_request, SignedHeaders=([^,]+), Signature=([0-9a-f]{64})$/.exec(
      authorization,
    ) ?? []
  if (keyId !== key.accessKeyId) return `not signed with ${key.accessKeyId}: ${authorization}`
  const time = headers['x-amz-date'] ?? ''
  if (!time.startsWith(date)) return `the scope is of ${date}, the request of ${time}`
  const signed = new Set(names.split(';'))
  const missing = Object.keys(headers).filter((name) => /^(?:host|x-amz-.*)$/.test(name) && !signed.has(name))
  if (missing.length > 0) return `not signed: ${missing.join()}`
  const declared = headers['x-amz-content-sha256']
  if (declared !== undefined && /^[0-9a-f]{64}$/.test(declared) && declared !== sha256(request.body))
    return 'the hash is of another body'
  const again = aws4.sign(
    {
      service,
      region,
      method: request.method,
      path: request.target,
      headers: Object.fromEntries(Object.entries(headers).filter(([name]) => signed.has(name))),
      // It would add these, and sign them.
      extraHeadersToInclude: Object.fromEntries([...signed].map((name) => [name, true])),
      extraHeadersToIgnore: Object.fromEntries(
        ['content-length', 'content-type'].filter((name) => !signed.has(name)).map((name) => [name, true]),
      ),
      ...(declared === undefined && { body: Buffer.from(request.body) }),
    },
    { accessKeyId: key.accessKeyId, secretAccessKey: key.secret },
  ).headers['Authorization']
  if (again !== authorization) return `${authorization} should read ${String(again)}`
  if (!declared?.startsWith('STREAMING-AWS4-')) return undefined
  const scope = [date, region, service, 'aws4_request']
  const signingKey = scope.reduce<string | Buffer>((last, part) => hmac(last, part), `AWS4${key.secret}`)
  return chunkFault(Buffer.from(request.body), signature, (kind, last, hashes) =>
    hmac(signingKey, [`AWS4-HMAC-SHA256-${kind}`, time, scope.join('/'), last, ...hashes].join('\n')).toString('hex'),
  )
}

/** The same for a presigned URL. */
export function presignedFault({ method, target, rawHeaders, body }: Arrived, key: AwsKey): string | undefined {
  const [path = '', query = ''] = target.split('?')
  const params = new URLSearchParams(query)
  const [keyId, , region = '', service = ''] = (params.get('X-Amz-Credential') ?? '').split('/')
  if (keyId !== key.accessKeyId) return `not signed with ${key.accessKeyId}: ${query}`
  const signed = new Set((params.get('X-Amz-SignedHeaders') ?? '').split(';'))
  const headers = joined(rawHeaders)
  const missing = Object.keys(headers).filter((name) => /^(?:host|x-amz-.*)$/.test(name) && !signed.has(name))
  if (missing.length > 0) return `not signed: ${missing.join()}`
  const computed = new Set(['X-Amz-Algorithm', 'X-Amz-Credential', 'X-Amz-SignedHeaders', 'X-Amz-Signature'])
  const kept = query.split('&').filter((param) => !computed.has(param.split('=')[0] ?? ''))
  const again = aws4.sign(
    {
      service,
      region,
      method,
      path: `${path}?${kept.join('&')}`,
      headers: Object.fromEntries(Object.entries(headers).filter(([name]) => signed.has(name))),
      body: Buffer.from(body),
      signQuery: true,
      extraHeadersToInclude: Object.fromEntries([...signed].map((name) => [name, true])),
      extraHeadersToIgnore: Object.fromEntries(
        ['content-length', 'content-type'].filter((name) => !signed.has(name)).map((name) => [name, true]),
      ),
    },
    { accessKeyId: key.accessKeyId, secretAccessKey: key.secret },
  ).path
  const wanted = new URLSearchParams(again.split('?')[1]).get('X-Amz-Signature')
  return wanted === params.get('X-Amz-Signature') ? undefined : `${query} should have the signature ${wanted}`
}

/** The parameters of an agent that presigns with a stub and any secret. */
export function presignedBy(
  stub: string,
  { region = 'us-east-1', service = 's3', date = '20260102T030400Z', expires = 3600, names = 'host' } = {},
): string {
  const scope = `${stub}/${date.slice(0, 8)}/${region}/${service}/aws4_request`
  return `X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=${encodeURIComponent(scope)}&X-Amz-Date=${date}&X-Amz-Expires=${expires}&X-Amz-SignedHeaders=${encodeURIComponent(names)}&X-Amz-Signature=${'0'.repeat(64)}`
}

type SignChunk = (kind: 'PAYLOAD' | 'TRAILER', last: string, hashes: readonly string[]) => string

function chunkFault(body: Buffer, seed: string, sign: SignChunk): string | undefined {
  let last = seed
  for (let at = 0, size = -1; size !== 0;) {
    const end = body.indexOf('\r\n', at)
    const [, hex = '', found] = /^([0-9a-f]+);chunk-signature=([0-9a-f]{64})$/.exec(body.toString('latin1', at, end)) ?? []
    if (found === undefined) return `no chunk at ${at}`
    size = Number.parseInt(hex, 16)
    const data = body.subarray(end + 2, end + 2 + size)
    last = sign('PAYLOAD', last, [sha256(Buffer.alloc(0)), sha256(data)])
    if (found !== last) return `the chunk at ${at} is not signed`
    at = end + 2 + size + 2
    if (size > 0) continue
    const [, fields = '', trailing] =
      /^(.*\n)x-amz-trailer-signature:([0-9a-f]{64})\r\n\r\n$/s.exec(body.toString('latin1', end + 2)) ?? []
    if (trailing !== undefined && trailing !== sign('TRAILER', last, [sha256(Buffer.from(fields.replaceAll('\r', '')))]))
      return 'the trailer is not signed'
  }
  return undefined
}

/** A header by its lower-case name; repeats are one, with a comma between (RFC 9110 section 5.3). */
function joined(rawHeaders: readonly string[]): Record<string, string> {
  const found: Record<string, string> = {}
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const [name = '', value = ''] = [rawHeaders[i]?.toLowerCase(), rawHeaders[i + 1]]
    found[name] = found[name] === undefined ? value : `${found[name]},${value}`
  }
  return found
}

/** The Authorization header of an agent that signs with a stub and any secret. */
export function claimOf(
  stub: string,
  { region = 'us-east-1', service = 's3', names = 'host;x-amz-content-sha256;x-amz-date' } = {},
): string {
  return `AWS4-HMAC-SHA256 Credential=${stub}/20260101/${region}/${service}/aws4_request, SignedHeaders=${names}, Signature=${'0'.repeat(64)}`
}

/** Data in signed chunks of so many bytes, with signatures that are none; `trailer` is a field after them, signed too. */
export function chunked(data: string, size: number, trailer?: string): string {
  const none = '0'.repeat(64)
  const pieces = [...(data.match(new RegExp(`[^]{1,${size}}`, 'g')) ?? []), '']
  const chunks = pieces.map((piece) => `${piece.length.toString(16)};chunk-signature=${none}\r\n${piece}${piece && '\r\n'}`)
  return `${chunks.join('')}${trailer === undefined ? '' : `${trailer}\r\nx-amz-trailer-signature:${none}\r\n`}\r\n`
}

function sha256(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex')
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}
