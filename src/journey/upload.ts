import { ProxyError } from '#base/errors.ts'
import type { RealValues } from '#credentials/real-values.ts'
import type { RequestBody } from './ports.ts'
import type { Trace } from './settle.ts'

/**
 * The body on its way out: counted, and watched for real values that the agent must not hold. Nothing in it is ever
 * changed. Throws `real_value_seen` before the chunk that would complete such a value is sent.
 */
export function upload(body: RequestBody, seen: Trace, realValues: RealValues): RequestBody {
  return { ...body, chunks: watched(body, seen, realValues) }
}

async function* watched(body: RequestBody, seen: Trace, realValues: RealValues): AsyncGenerator<Uint8Array> {
  const watch = realValues.watch()
  for await (const chunk of body.chunks) {
    const credential = watch.feed(chunk)
    if (credential !== undefined) {
      seen.credential = credential
      throw new ProxyError('real_value_seen', `the request body carries the real value of ${credential}`)
    }
    seen.bytesUp += chunk.length
    yield chunk
  }
}
