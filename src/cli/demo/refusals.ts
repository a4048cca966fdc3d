import { randomBytes } from 'node:crypto'
import type { DemoAsk, DemoDoor, DemoReply } from './agent.ts'
import { stubs } from './policy.ts'
import type { Stage } from './stage.ts'
import { saw, sent } from './step.ts'
import type { Row, DemoStep } from './step.ts'

export const deniedAsk: DemoAsk = { url: 'https://pypi.org/simple/' }

/** Each is a 403 that says why, and no packet reaches the upstream. */
export const refusals: readonly DemoStep[] = [
  refusal('no rule names this host: refused, and the client can read why', 'sni', 'host_denied', () => deniedAsk),
  refusal('a rule refuses this request, and gives its reason', 'connect', 'rule_denied', () => ({
    method: 'DELETE',
    url: 'https://api.github.com/repos/crew/app',
    headers: { Authorization: `Bearer ${stubs.github}` },
  })),
  refusal('the stub is sent to an allowed host that it is not for', 'sni', 'stub_wrong_host', () => ({
    url: 'https://codeload.github.com/crew/app',
    headers: { Authorization: `Bearer ${stubs.github}` },
  })),
  refusal('an agent has got hold of the real token: refused, with an alarm', 'connect', 'real_value_seen', ({ reals }) => ({
    url: 'https://api.github.com/user',
    headers: { Authorization: `Bearer ${reals.github}` },
  })),
  refusal('an agent brings a token of its own, perhaps to carry data to another account', 'sni', 'foreign_credential', () => ({
    url: 'https://api.github.com/gists',
    headers: { Authorization: `Bearer brought-along-${randomBytes(4).toString('hex')}` },
  })),
]

function refusal(title: string, door: DemoDoor, code: string, askOf: (stage: Stage) => DemoAsk): DemoStep {
  return {
    title: `${title} (by ${door === 'sni' ? 'DNS + SNI' : 'CONNECT'})`,
    async act(stage) {
      const ask = askOf(stage)
      const reply = await stage.agent.curl(door, ask)
      const requests = stage.upstream.newRequests()
      return {
        rows: [sent(ask), saw(requests), gotRefusal(reply)],
        held: {
          'the upstream sees nothing': requests.length === 0,
          [`the agent reads 403 ${code}`]: reply.status === 403 && refusalIn(reply).code === code,
        },
      }
    },
  }
}

/** A refusal as the agent reads it. */
export function gotRefusal(reply: DemoReply): Row {
  const { code, message } = refusalIn(reply)
  return ['agent got', `${reply.status} ${code}: ${message}`]
}

/** What is in the JSON of a refusal; a body that is none has no code. */
function refusalIn({ body }: DemoReply): { readonly code: string; readonly message: string } {
  try {
    const { error } = JSON.parse(body) as { readonly error: { readonly code: string; readonly message: string } }
    return { code: error.code, message: error.message }
  } catch {
    return { code: 'no refusal', message: body.slice(0, 200) }
  }
}
