import { ProxyError } from '#base/errors.ts'
import type { Grant, SignTools } from '#credentials/types.ts'
import type { Outbound } from '#contracts/upstream.ts'
import type { RequestBody } from '#contracts/request.ts'
import { readWhole, wholeBody } from './whole-body.ts'

/** A request as it leaves, with what is left of its body to be read. */
export interface Leaving {
  readonly outbound: Outbound
  readonly body: RequestBody | undefined
}

export function signs({ credential }: Grant): boolean {
  return credential.placer.sign !== undefined
}

/**
 * The last touch before a request leaves: credentials that sign have it signed as it is now. Nothing may change it after.
 * Throws what the kinds throw.
 */
export async function sign(leaving: Leaving, grants: readonly Grant[], tools: SignTools): Promise<Leaving> {
  let { outbound, body } = leaving
  for (const { credential, secret, companions } of grants) {
    if (!credential.placer.sign) continue
    const { method, path, query } = outbound.head
    const valueOf = (name: string | undefined) => {
      const value = name === undefined ? secret : companions?.[name]
      if (value) return value
      throw new ProxyError('credential_unavailable', `${credential.id} has no ${name}`)
    }
    const unsigned = {
      method,
      path,
      query,
      headers: outbound.headers,
      whole: async (most: number): Promise<Uint8Array> => {
        const bytes = body ? await readWhole(body, most) : new Uint8Array(0)
        if (body) body = wholeBody(body, bytes)
        return bytes
      },
    }
    const signed = await credential.placer.sign(unsigned, (name) => valueOf(name).expose(), tools)
    const head = signed.query === undefined ? outbound.head : { ...outbound.head, query: signed.query }
    outbound = { ...outbound, head, headers: signed.headers }
    if (body && signed.body) body = { ...body, chunks: signed.body(body.chunks) }
  }
  return { outbound, body }
}
