import type * as smithy from '@smithy/signature-v4'
import { readParams } from '../swap/query-string.ts'
import type { Hashes, SignTools, Unsigned } from '../types.ts'

/** With what is signed, and for what. */
export interface SigningKey {
  readonly accessKeyId: string
  readonly real: () => string
  /** Of temporary credentials: travels in X-Amz-Security-Token, which is signed. */
  readonly sessionToken?: string | undefined
  readonly region: string
  readonly service: string
}

type Signable = Pick<Unsigned, 'method' | 'path' | 'query' | 'headers'>

/** Signs one request, and whatever of its body is signed on the way. All at one time. */
export interface AwsSigner {
  /** As it stands in the scope of a signature: `20130524T000000Z`. */
  readonly time: string
  /** `20130524/us-east-1/s3/aws4_request`. */
  readonly scope: string
  /**
   * The headers with a signature; `body` where its hash is not among them. Signed are Host, Content-Type, X-Amz-*, and those
   * that the agent had signed (`also`, lower case).
   */
  signRequest(
    request: Signable,
    also: ReadonlySet<string>,
    body: Uint8Array | undefined,
  ): Promise<{ readonly headers: readonly string[]; readonly signature: string }>
  /** The parameters that sign a URL, for so many seconds; `body` left out: it is not signed. */
  presign(
    request: Signable,
    also: ReadonlySet<string>,
    expiresIn: number,
    body: Uint8Array | undefined,
  ): Promise<Readonly<Record<string, unknown>>>
  /** A service of S3. */
  readonly isS3: boolean
  /** Hex; of a string to sign. */
  readonly signText: (text: string) => Promise<string>
  /** Hex. */
  readonly sha256: (data: Uint8Array) => string
}

// Most policies have no such credential: 30 ms and 15 MB that only those pay who need it.
let library: Promise<typeof smithy> | undefined

/** A signer by AWS Signature Version 4, https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html. */
export async function awsSigner(key: SigningKey, tools: SignTools): Promise<AwsSigner> {
  const { accessKeyId, real, sessionToken, region, service } = key
  const { SignatureV4 } = await (library ??= import('@smithy/signature-v4'))
  const { hashes } = tools
  const signingDate = new Date(tools.now)
  const time = signingDate.toISOString().replaceAll(/[:-]|\.\d{3}/g, '')
  const isS3 = s3.has(service)
  const signer = new SignatureV4({
    credentials: { accessKeyId, secretAccessKey: real(), ...(sessionToken !== undefined && { sessionToken }) },
    region,
    service,
    sha256: checksumWith(hashes),
    uriEscapePath: !isS3,
    // S3 wants the hash said in a header, others do without.
    applyChecksum: isS3,
  })
  const givenOf = ({ method, path, query, headers }: Signable, also: ReadonlySet<string>) => ({
    method,
    protocol: 'https:',
    hostname: '',
    path: isS3 ? canonicalPath(path) : path,
    query: paramsOf(query),
    headers: signable(headers, also),
  })
  return {
    isS3,
    time,
    scope: `${time.slice(0, 8)}/${region}/${service}/aws4_request`,
    async signRequest(request, also, body) {
      const given = { ...givenOf(request, also), body }
      const signed = await signer.sign(given, { signingDate, signableHeaders: new Set(also) })
      return {
        headers: completed(request.headers, signed.headers),
        signature: signed.headers['authorization']?.slice(-64) ?? '',
      }
    },
    async presign(request, also, expiresIn, body) {
      const given = givenOf(request, also)
      // The library signs no hash of what it takes for a stream, and moves headers into the query unless they are named.
      const presigned = await signer.presign(
        { ...given, body: body ?? {} },
        {
          signingDate,
          expiresIn,
          signableHeaders: new Set(also),
          unhoistableHeaders: new Set(Object.keys(given.headers)),
        },
      )
      return presigned.query ?? {}
    },
    signText: (text) => signer.sign(text, { signingDate }),
    sha256: (data) => Buffer.from(hashes.sha256(data)).toString('hex'),
  }
}

/** Their paths are encoded once and never normalized, where others encode what was sent a second time. */
const s3 = new Set(['s3', 's3express', 's3-object-lambda', 's3-outposts'])

/** S3 reads the name in a path, where a plus sign is a space, and encodes that its own way. */
function canonicalPath(path: string): string {
  return path
    .replaceAll('+', ' ')
    .replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
    .replace(/[^A-Za-z0-9._~/-]/g, (byte) => `%${byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`)
}

function paramsOf(query: string): Record<string, string[]> {
  const params = Object.create(null) as Record<string, string[]>
  for (const { name, value } of readParams(query)) (params[name] ??= []).push(value)
  return params
}

function signable(headers: readonly string[], also: ReadonlySet<string>): Record<string, string> {
  const found: Record<string, string> = {}
  for (let i = 0; i < headers.length; i += 2) {
    const name = (headers[i] ?? '').toLowerCase()
    if (name !== 'host' && name !== 'content-type' && !name.startsWith('x-amz-') && !also.has(name)) continue
    // The library takes text for UTF-8, and headers are one character a byte.
    const value = Buffer.from(headers[i + 1] ?? '', 'latin1').toString('utf8')
    const known = found[name]
    found[name] = known === undefined ? value : `${known},${value}`
  }
  return found
}

/** The headers as they were, and those that signing added. */
function completed(headers: readonly string[], signed: Readonly<Record<string, string>>): readonly string[] {
  const names = new Set(headers.filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase()))
  const added = ['x-amz-content-sha256', 'x-amz-date', 'x-amz-security-token', 'authorization'].filter((name) => !names.has(name))
  return [...headers, ...added.flatMap((name) => (signed[name] === undefined ? [] : [name, signed[name]]))]
}

type Checksums = ConstructorParameters<typeof smithy.SignatureV4>[0]['sha256']

/** The hashes in the shape the library wants. */
function checksumWith(hashes: Hashes): Checksums {
  return class {
    readonly #key: string | Uint8Array | undefined
    #data: Uint8Array[] = []

    constructor(key?: string | ArrayBuffer | ArrayBufferView) {
      this.#key = key === undefined || typeof key === 'string' ? key : bytesOf(key)
    }

    update(data: Uint8Array): void {
      this.#data.push(data)
    }

    reset(): void {
      this.#data = []
    }

    async digest(): Promise<Uint8Array> {
      const data = Buffer.concat(this.#data)
      return this.#key === undefined ? hashes.sha256(data) : hashes.hmacSha256(this.#key, data)
    }
  }
}

function bytesOf(data: ArrayBuffer | ArrayBufferView): Uint8Array {
  return ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : new Uint8Array(data)
}
