/** Who are we to the proxy, and how are our credentials there? It is asked itself, at its own name. */
import { request } from 'node:https'
import { selfHost, selfPath, type SelfReport } from '#journey/self.ts'
import { fail, failuresOr, pass, skip, type Finding, type ProxyPlace } from './finding.ts'

/** Milliseconds. */
const patience = 5_000

interface Answer {
  readonly status: number
  readonly body: string
}

export async function checkSelf(place: ProxyPlace): Promise<readonly Finding[]> {
  let answer: Answer
  try {
    answer = await get(place)
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? (error as Error).message
    return [
      fail(
        'identity',
        `the proxy cannot be asked who we are (${reason})`,
        'is it running, and does the NetworkPolicy allow port 443 to it?',
      ),
      skip('credentials', 'the proxy cannot be asked'),
    ]
  }
  const body = parsed(answer.body)
  if (answer.status !== 200) return [refused(body), skip('credentials', 'the proxy does not know us')]
  const { agent, address, mode, credentials } = body as SelfReport
  const found = pass(
    'identity',
    `we are ${agent}, at ${address}${mode === 'report' ? ', in report mode: no credential is given' : ''}`,
  )
  return [found, ...healthOf(credentials)]
}

function refused(body: unknown): Finding {
  const {
    code = 'none',
    message = 'no reason given',
    hint = '',
  } = (body as { error?: Record<string, string> } | null)?.error ?? {}
  const remedies: Readonly<Record<string, string>> = {
    agent_unknown: 'give the policy’s agent a `from` that this pod fits: look at namespace, labels and ServiceAccount',
    agent_ambiguous: 'make the `from` of the policy’s agents distinct',
    agent_masqueraded:
      'the source address is lost on the way: turn masquerading off for pod traffic, and hostNetwork for this pod',
  }
  return fail('identity', `the proxy does not know us: ${message} (${code})`, remedies[code] ?? hint)
}

function healthOf(credentials: SelfReport['credentials']): readonly Finding[] {
  const ill = credentials.flatMap(({ id, health }) => {
    if (health === 'ok') return []
    return health === 'needs_login'
      ? [fail('credentials', `${id} has ended`, `the operator runs \`iron-proxy login ${id}\``)]
      : [fail('credentials', `${id} has no value`, 'the operator looks at its source: the file or variable is missing or empty')]
  })
  const ids = credentials.map(({ id }) => id)
  return failuresOr(ill, pass('credentials', ids.length > 0 ? `${ids.join(', ')}: well` : 'none is granted to us'))
}

function get({ address, https }: ProxyPlace): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request(
      {
        host: address,
        port: https,
        path: selfPath,
        servername: selfHost,
        headers: { host: selfHost },
        timeout: patience,
        agent: false,
        // Whether it is trusted is another check; nothing secret is said or heard here.
        rejectUnauthorized: false,
      },
      (reply) => {
        let body = ''
        reply.setEncoding('utf8').on('data', (text: string) => (body += text))
        reply.on('end', () => resolve({ status: reply.statusCode ?? 0, body }))
      },
    )
    asked.on('timeout', () => asked.destroy(new Error('no answer in time')))
    asked.on('error', reject)
    asked.end()
  })
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
