import type { DemoAsk } from './agent.ts'
import type { Stage } from './stage.ts'
import type { SeenRequest } from './upstream.ts'

/** One thing the product promises, tried out. */
export interface DemoStep {
  /** What is said to happen. */
  readonly title: string
  act(stage: Stage): Promise<Told>
}

/** What happened: the rows are for people, `held` says whether it went as said. */
export interface Told {
  readonly rows: readonly Row[]
  /** Each thing that was said, and whether it was so. */
  readonly held: Readonly<Record<string, boolean>>
}

/** Whose part it is, and what they sent, saw or got. */
export type Row = readonly [who: string, text: string]

/** What the agent sent, with the headers that matter. */
export function sent({ method = 'GET', url, headers = {} }: DemoAsk): Row {
  const fields = Object.entries(headers).map(([name, value]) => `   ${name}: ${value}`)
  return ['agent sent', `${method} ${url}${fields.join('')}`]
}

/** What reached the upstream. */
export function saw(requests: readonly SeenRequest[]): Row {
  const text = requests.map((each) => `${each.method} ${each.path}   ${credentialOf(each)}`.trimEnd())
  return ['upstream saw', text.length > 0 ? text.join('\n') : 'nothing']
}

function credentialOf({ headers }: SeenRequest): string {
  const key = headers['x-api-key']
  if (key !== undefined) return `x-api-key: ${String(key)}`
  const { authorization } = headers
  if (authorization === undefined) return ''
  const basic = /^Basic (.+)$/.exec(authorization)?.[1]
  // Decoded, since nobody reads base64.
  return `authorization: ${basic === undefined ? authorization : `Basic ${Buffer.from(basic, 'base64').toString()}`}`
}
