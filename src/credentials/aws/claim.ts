/** What a signature of an agent says that it was made with. The signature itself is thrown away. */
export interface AwsClaim {
  readonly keyId: string
  readonly region: string
  readonly service: string
  /** Lower-case names of the headers that the agent signed. */
  readonly signed: ReadonlySet<string>
}

const scope = String.raw`([^/,\s]+)\/\d{8}\/([a-z0-9-]+)\/([a-z0-9-]+)\/aws4_request`
const inHeader = new RegExp(
  String.raw`^AWS4-HMAC-SHA256 +Credential=${scope}, *SignedHeaders=([^,\s]+), *Signature=[0-9a-f]{64}$`,
)
const inParam = new RegExp(`^${scope}$`)

/** The claim of an Authorization header. */
export function readClaim(authorization: string): AwsClaim | undefined {
  return claimOf(inHeader.exec(authorization))
}

/** The claim of the parameter X-Amz-Credential of a presigned URL, and of its X-Amz-SignedHeaders. */
export function readPresignedClaim(credential: string, signedHeaders: string): AwsClaim | undefined {
  return claimOf([...(inParam.exec(credential) ?? []), signedHeaders])
}

function claimOf(found: readonly string[] | null): AwsClaim | undefined {
  const [, keyId, region, service, signed] = found ?? []
  if (keyId === undefined || region === undefined || service === undefined || signed === undefined) return undefined
  return { keyId, region, service, signed: new Set(signed.toLowerCase().split(';')) }
}
