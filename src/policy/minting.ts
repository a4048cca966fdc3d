/**
 * Whether an endpoint answers with a new secret: a key, a token, a code that becomes one. With a credential of ours an agent
 * could have one made that the proxy does not scope, rotate or take back. The endpoints are listed by host in
 * `minting-hosts.ts`, and by the shape of their path, on every host, in `minting-code.ts` and `minting-services.ts`.
 */
import type { Host } from '#base/host.ts'
import { matchesWidely } from './match.ts'
import type { PolicyQuestion } from './match.ts'
import { codeProducts } from './minting-code.ts'
import { awsServices, publicHosts } from './minting-hosts.ts'
import { services } from './minting-services.ts'
import type { MintingRow } from './minting-row.ts'
import type { Segments } from './path.ts'
import type { Ask, Rule } from './types.ts'

/** What a request would have made, where it is one that is known to answer with a new secret, in any reading of its path. */
export function mintedBy({ signing }: Pick<Rule, 'signing'>, { ask, segments, others }: PolicyQuestion): string | undefined {
  const service = isAws(ask.host) ? awsServices.find((each) => each.host.test(ask.host)) : undefined
  if (service !== undefined) return service.mints
  let minted = madeAt(ask, signing, segments)
  for (let at = 0; minted === undefined && at < others.length; at += 1) minted = madeAt(ask, signing, others[at]?.segments ?? [])
  return minted
}

function madeAt(ask: Ask, signing: Rule['signing'], segments: Segments): string | undefined {
  if (segments.length === 1 && segments[0] === '') return madeAtRoot(ask, signing)
  for (const segment of segments) {
    const rows = byWord.get(segment.toLowerCase())
    if (rows === undefined) continue
    for (const { host, methods, path, except, signed, mints } of rows) {
      // A product that takes signatures of AWS takes no other credential, and the other way round.
      if (signed ? signing === 'none' : signing === 'all' && host === undefined) continue
      if (!methods.includes(ask.method) || (host !== undefined && !host.test(ask.host))) continue
      if (matchesWidely(path, segments) && !(except && matchesWidely(except, segments))) return mints
    }
  }
  return undefined
}

/** The rows by the last literal segment of their path, so that a request is compared with few of them. */
const byWord: ReadonlyMap<string, readonly MintingRow[]> = Map.groupBy(
  [...publicHosts, ...codeProducts, ...services],
  ({ path }) => path.findLast((segment) => segment !== '*' && segment !== '**') ?? '',
)

// MinIO, Ceph and others take the calls of STS and IAM at their root, in the query or in a form. The services of AWS have
// hosts of their own, and many take their own calls there.
function madeAtRoot({ host, method, query, form }: Ask, signing: Rule['signing']): string | undefined {
  if (isAws(host)) return undefined
  if (query.length > 1 && mintingAction.test(query)) return 'AWS credentials'
  return signing !== 'none' && method === 'POST' && form === true ? 'AWS credentials' : undefined
}

const mintingAction =
  /[?&]Action=(?:AssumeRole\w*|Get(?:SessionToken|FederationToken)|Create(?:AccessKey|LoginProfile|ServiceSpecificCredential))(?:&|$)/i

function isAws(host: Host): boolean {
  return host.endsWith('.amazonaws.com') || host.endsWith('.amazonaws.com.cn') || host.endsWith('.api.aws')
}
