/** What others hear of the proxy: audit records as events, each under a subject that says what happened. */

/** The fields of an audit line that name the event. */
interface Line {
  readonly id: string
  readonly time: string
  readonly type: string
  readonly event: string
  readonly agent: string | null
  readonly verdict: string
}

/** An event as it is published. */
export interface SwarmEvent {
  readonly subject: string
  /** The same for the same record, so that it is kept once however often it is sent. */
  readonly id: string
  /** CloudEvents 1.0 in JSON, with the audit line as its data. */
  readonly payload: string
}

/** The event of one audit line. `prefix`: the subject in front, `swarm.events`. */
export function eventOf(line: string, prefix: string): SwarmEvent {
  const said = JSON.parse(line) as Line
  const name = nameOf(said)
  // What opens also closes, under one id.
  const id = `${said.id}-${said.event}`
  const about = {
    specversion: '1.0',
    id,
    source: 'iron-proxy',
    type: `${prefix}.${name}`,
    ...(said.agent !== null && { subject: said.agent }),
    time: said.time,
    datacontenttype: 'application/json',
  }
  return { subject: `${prefix}.${name}`, id, payload: `${JSON.stringify(about).slice(0, -1)},"data":${line}}` }
}

/** One token of a subject: subscribers to `swarm.events.*` hear it. */
function nameOf({ type, event, verdict }: Line): string {
  switch (type) {
    case 'budget':
    case 'policy':
    case 'run':
    case 'operator':
      return `egress_${type}_${event}`
    case 'credential':
      return event === 'needs_login' ? 'egress_reauth_required' : 'egress_credential_recovered'
    default:
      return `egress_${happened[verdict] ?? type}`
  }
}

const happened: Readonly<Record<string, string>> = { deny: 'denied', would_deny: 'would_deny', error: 'failed' }
