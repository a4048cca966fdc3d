import { setTimeout as sleep } from 'node:timers/promises'
import { addedRule, policy } from './policy.ts'
import { deniedAsk, gotRefusal } from './refusals.ts'
import { saw, sent } from './step.ts'
import type { DemoStep } from './step.ts'

/** Milliseconds in which an edit must be in force. */
const promised = 2_000

export const edit: DemoStep = {
  title: 'the policy is edited while all runs: what was refused passes, with no restart',
  async act({ agent, upstream, signal, writePolicy }) {
    const before = await agent.curl('sni', deniedAsk)
    const edited = performance.now()
    await writePolicy(`${policy}  ${addedRule}\n`)
    let after = before
    while (after.status !== 200 && performance.now() - edited < promised) {
      await sleep(50, undefined, { signal })
      after = await agent.curl('sni', deniedAsk)
    }
    const took = Math.round(performance.now() - edited)
    const requests = upstream.newRequests()
    return {
      rows: [
        sent(deniedAsk),
        gotRefusal(before),
        ['operator adds', addedRule],
        saw(requests),
        ['agent got', `${after.status} ${after.body}   (${took} ms after the edit)`],
      ],
      held: {
        'it is refused at first': before.status === 403,
        'it passes within two seconds of the edit': after.status === 200 && requests.length === 1,
      },
    }
  },
}
