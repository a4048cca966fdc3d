import { describe, expect, it } from 'vitest'
import { Secret } from '#base/secret.ts'
import { RealValues } from '#credentials/scrub/real-values.ts'
import { trace } from '#journey/settle.ts'
import { upload } from '#journey/upload.ts'
import { canary } from '../kit/credentials.ts'
import { ManualClock } from '../kit/clock.ts'
import { arrivalOf, bodyOf } from './parts.ts'

const value = canary()
const realValues = new RealValues([{ credential: 'key', secret: new Secret('key', value) }])

async function sendUp(chunks: readonly (string | Error)[], trailers: readonly string[] = []) {
  const seen = trace(arrivalOf(), { clock: new ManualClock(), ids: { next: () => 'id' } })
  const body = upload(bodyOf(chunks, trailers), seen, realValues)
  let sent = ''
  let error: unknown
  try {
    for await (const chunk of body.chunks) sent += Buffer.from(chunk).toString('latin1')
  } catch (thrown) {
    error = thrown
  }
  return { seen, sent, error, trailers: body.trailers() }
}

describe('a request body', () => {
  it('passes unchanged and is counted', async () => {
    expect(await sendUp(['one', '', ' two'])).toMatchObject({
      sent: 'one two',
      error: undefined,
      seen: { bytesUp: 7, credential: undefined },
    })
  })

  it.each([1, 2, 5, value.length, 1000])('stops before the chunk that completes a real value, in chunks of %i', async (size) => {
    const text = `before ${value} after`
    const chunks = Array.from({ length: Math.ceil(text.length / size) }, (_, i) => text.slice(i * size, (i + 1) * size))
    const { sent, error, seen } = await sendUp(chunks)
    expect(error).toMatchObject({ code: 'real_value_seen' })
    expect(String(error)).not.toContain(value)
    expect(sent).not.toContain(value)
    expect(text.startsWith(sent)).toBe(true)
    expect(seen).toMatchObject({ credential: 'key', bytesUp: sent.length })
  })

  it('does not end when a real value stands in a trailer', async () => {
    expect((await sendUp(['x'], ['x-sum', value])).error).toMatchObject({ code: 'real_value_seen' })
  })

  it('takes nothing of this hop along in its trailers', async () => {
    expect(
      (await sendUp(['x'], ['x-sum', '1', 'Connection', 'close', 'Transfer-Encoding', 'chunked', 'Host', 'evil.test'])).trailers,
    ).toEqual(['x-sum', '1'])
  })

  it('breaks as it broke', async () => {
    const broken = new Error('gone')
    expect(await sendUp(['half', broken])).toMatchObject({ sent: 'half', error: broken })
  })
})
