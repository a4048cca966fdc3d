import type { BodyPlacement } from '#credentials/swap/swap.ts'
import type { Credential } from '#credentials/types.ts'
import type { Denial, Rule } from '#policy/types.ts'
import { headerValue } from './headers.ts'
import type { Client } from '#contracts/reply.ts'
import type { RequestBody, RequestHead } from '#contracts/request.ts'
import { readWhole, wholeBody } from './whole-body.ts'

/** A body that was read whole, with the stubs in it. */
export interface Whole {
  readonly body: RequestBody
  readonly bytes: Uint8Array
  readonly placements: readonly BodyPlacement[]
  /** Why the request must not go out as it is, and the credential it is about. */
  readonly refused: { readonly denial: Denial; readonly credential: string } | undefined
}

/**
 * The stubs in the body of an allowed request, where one of its credentials travels in bodies; `undefined`: it is not looked at
 * and streams as any other. Throws `body_too_large` and what reading it throws.
 */
export async function findInBody(
  head: RequestHead,
  body: RequestBody,
  admitted: {
    readonly credentials: readonly Credential[]
    readonly foreign: 'refuse' | 'allow'
    readonly rule: Rule | undefined
  },
  client: Pick<Client, 'proceed'>,
): Promise<Whole | undefined> {
  const request = { method: head.method, path: head.path, contentType: plainType(head) ?? '' }
  const looking = admitted.credentials.flatMap((credential) => {
    const { body: placer } = credential.placer
    return placer?.takes(request) ? [{ credential, body: placer }] : []
  })
  if (looking.length === 0) return undefined
  client.proceed()
  const bytes = await readWhole(body, Math.max(...looking.map((each) => each.body.most)))
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
  const placements: BodyPlacement[] = []
  let refused: Whole['refused']
  for (const { credential, body: placer } of looking) {
    const found = placer.find(text)
    const place = `${placer.name} of the body`
    switch (found.kind) {
      case 'stub':
        placements.push({ credential, body: placer, start: found.start, end: found.end })
        break
      case 'ambiguous':
        refused ??= deny('stub_misplaced', `${place} stands there twice, and the host may read either`, credential)
        break
      case 'other':
        if (admitted.foreign === 'refuse')
          refused ??= deny('foreign_credential', `${place} carries a credential that is not a stub`, credential)
        break
      case 'absent':
        break
      default:
        return found satisfies never
    }
  }
  return { body: wholeBody(body, bytes), bytes, placements: refused ? [] : placements, refused }

  function deny(code: Denial['code'], reason: string, { id }: Credential): NonNullable<Whole['refused']> {
    return { denial: { kind: 'deny', code, reason, rule: admitted.rule }, credential: id }
  }
}

/** The media type without parameters, of a body that can be read as it is. */
function plainType(head: RequestHead): string | undefined {
  const coding = headerValue(head.headers, 'content-encoding') ?? 'identity'
  const [type = '', ...parameters] = (headerValue(head.headers, 'content-type') ?? '').split(';')
  const charset = parameters.map((each) => each.trim().toLowerCase()).find((each) => each.startsWith('charset='))
  const readable = coding.trim().toLowerCase() === 'identity' && (charset === undefined || /^charset="?utf-?8"?$/.test(charset))
  return readable ? type.trim().toLowerCase() : undefined
}
