/** What becomes of a credential on its way out, and on its way back. */
import type { DemoAsk, DemoDoor } from './agent.ts'
import { stubs } from './policy.ts'
import { saw, sent } from './step.ts'
import type { DemoStep } from './step.ts'

const whoAmI: DemoAsk = { url: 'https://api.github.com/user', headers: { Authorization: `Bearer ${stubs.github}` } }

/** The same request through both doors: one journey is behind them. */
export const swaps: readonly DemoStep[] = [
  swap('sni', 'curl by DNS + SNI: the stub leaves, the real token arrives'),
  swap('connect', 'curl by CONNECT: an explicit proxy works the same'),
]

function swap(door: DemoDoor, title: string): DemoStep {
  return {
    title,
    async act({ agent, upstream, reals }) {
      const { status, body } = await agent.curl(door, whoAmI)
      const requests = upstream.newRequests()
      return {
        rows: [sent(whoAmI), saw(requests), ['agent got', `${status} ${body}`]],
        held: {
          'the upstream sees one request': requests.length === 1,
          'it carries the real token': requests[0]?.headers.authorization === `Bearer ${reals.github}`,
          'the agent reads 200': status === 200,
        },
      }
    },
  }
}

export const scrub: DemoStep = {
  title: 'a server that repeats the token: on its way back it is the stub again, compressed or not',
  async act({ agent, upstream, reals }) {
    const headers = { Authorization: `Bearer ${stubs.github}` }
    const plain: DemoAsk = { url: 'https://api.github.com/debug', headers }
    const zipped: DemoAsk = { url: 'https://api.github.com/debug?gzip', headers, compressed: true }
    const first = await agent.curl('sni', plain)
    const second = await agent.curl('connect', zipped)
    const [echo, zippedEcho] = upstream.newRequests()
    return {
      rows: [
        sent(plain),
        ['upstream said', echo?.reply ?? 'nothing'],
        ['agent got', first.body],
        ['agent got', `${second.body}   (sent as gzip)`],
      ],
      held: {
        'the upstream gives the real token away': [echo, zippedEcho].every((each) => each?.reply.includes(reals.github) === true),
        'the agent reads the stub in its place': first.body.includes(stubs.github),
        'the same when it is compressed': second.body.includes(stubs.github),
        'no reply has the real token': ![first, second].some(({ stdout }) => stdout.includes(reals.github)),
      },
    }
  },
}

export const stream: DemoStep = {
  title: 'a model answers in a stream: each event passes at once, nothing is collected',
  async act({ agent, upstream, reals }) {
    const ask: DemoAsk = {
      method: 'POST',
      url: 'https://api.anthropic.com/v1/messages',
      headers: { 'x-api-key': stubs.claude, 'content-type': 'application/json' },
      data: JSON.stringify({
        model: 'demo',
        stream: true,
        max_tokens: 4,
        messages: [{ role: 'user', content: 'Where is my key?' }],
      }),
    }
    const { pieces } = await agent.curl('sni', ask)
    const requests = upstream.newRequests()
    const written = requests[0]?.written ?? []
    const events = pieces.flatMap(({ at, text }) => [...text.matchAll(/"text":"(\w+)"/g)].map(([, word = '']) => ({ at, word })))
    const start = written[0] ?? 0
    return {
      rows: [
        sent({ ...ask, headers: { 'x-api-key': stubs.claude } }),
        saw(requests),
        ['agent got', events.map(({ at, word }) => `"${word}" at ${Math.max(0, Math.round(at - start))} ms`).join(', ')],
      ],
      held: {
        'the upstream sees the real key': requests[0]?.headers['x-api-key'] === reals.claude,
        'all four events arrive': events.length === 4,
        'the first arrives before the upstream has written the last': (events[0]?.at ?? Infinity) < (written.at(-1) ?? 0),
      },
    }
  },
}
