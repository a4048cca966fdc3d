import { describe, expect, it } from 'vitest'
import { eventOf } from '#observe/nats-event.ts'

const line = (some: object): string =>
  JSON.stringify({
    id: 'A1',
    time: '2026-11-21T00:00:00.000Z',
    type: 'request',
    event: 'exchange',
    agent: 'devbot',
    verdict: 'allow',
    ...some,
  })

describe('an audit line as an event', () => {
  it.each([
    [{}, 'egress_request', 'A1-exchange'],
    [{ type: 'tunnel', event: 'open' }, 'egress_tunnel', 'A1-open'],
    [{ type: 'tunnel', event: 'close' }, 'egress_tunnel', 'A1-close'],
    [{ type: 'dns' }, 'egress_dns', 'A1-exchange'],
    [{ verdict: 'deny' }, 'egress_denied', 'A1-exchange'],
    [{ type: 'dns', verdict: 'deny' }, 'egress_denied', 'A1-exchange'],
    [{ verdict: 'would_deny' }, 'egress_would_deny', 'A1-exchange'],
    [{ verdict: 'error' }, 'egress_failed', 'A1-exchange'],
    [{ type: 'budget', event: 'warning' }, 'egress_budget_warning', 'A1-warning'],
    [{ type: 'budget', event: 'exhausted' }, 'egress_budget_exhausted', 'A1-exhausted'],
    [{ type: 'credential', event: 'needs_login', verdict: 'error' }, 'egress_reauth_required', 'A1-needs_login'],
    [{ type: 'credential', event: 'recovered' }, 'egress_credential_recovered', 'A1-recovered'],
    [{ type: 'run', event: 'minted' }, 'egress_run_minted', 'A1-minted'],
    [{ type: 'policy', event: 'rejected', verdict: 'error' }, 'egress_policy_rejected', 'A1-rejected'],
  ])('that says %j is %s, under the id %s', (some, name, id) => {
    expect(eventOf(line(some), 'swarm.events')).toMatchObject({ subject: `swarm.events.${name}`, id })
  })

  it('is a CloudEvent about its agent, with the whole line as its data', () => {
    const text = line({ host: 'good.test' })
    expect(JSON.parse(eventOf(text, 'a.b').payload)).toEqual({
      specversion: '1.0',
      id: 'A1-exchange',
      source: 'iron-proxy',
      type: 'a.b.egress_request',
      subject: 'devbot',
      time: '2026-11-21T00:00:00.000Z',
      datacontenttype: 'application/json',
      data: JSON.parse(text),
    })
    expect(JSON.parse(eventOf(line({ agent: null }), 'a.b').payload)).not.toHaveProperty('subject')
  })
})
