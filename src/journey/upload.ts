import { ProxyError } from '#base/errors.ts'
import type { RealValues } from '#credentials/real-values.ts'
import { requestHeaders } from './headers.ts'
import type { RequestBody } from './ports.ts'
import type { Trace } from './settle.ts'

/**
 * The body on its way out: counted, and watched for real values that the agent must not hold. Nothing in it is ever
 * changed. Throws `real_value_seen` before the chunk that would complete such a value is sent, or before the end when it
 * stands in a trailer.
 */
export function upload(body: RequestBody, seen: Trace, realValues: RealValues): RequestBody {
  return { ...body, chunks: watched(body, seen, realValues), trailers: () => requestHeaders(body.trailers(), { decode: false }) }
}

async function* watched(body: RequestBody, seen: Trace, realValues: RealValues): AsyncGenerator<Uint8Array> {
  const watch = realValues.watch()
  for await (const chunk of body.chunks) {
    refuse(watch.feed(chunk), seen)
    seen.bytesUp += chunk.length
    yield chunk
  }
  refuse(realValues.find(body.trailers().join('\n')), seen)
}

function refuse(credential: string | undefined, seen: Trace): void {
  if (credential === undefined) return
  seen.credential = credential
  throw new ProxyError('real_value_seen', `the request body carries the real value of ${credential}`)
}
