import { ProxyError } from '#base/errors.ts'
import type { Credential } from '#credentials/types.ts'
import type { Ask, Denial } from '#policy/types.ts'
import { headerValue } from './headers.ts'
import type { Client } from '#contracts/reply.ts'
import type { LoginTaker } from '#contracts/grants.ts'
import type { RequestBody, RequestHead } from '#contracts/request.ts'
import type { Trace } from './settle.ts'
import type { Exchange, Snapshot } from '#contracts/snapshot.ts'

/** A token request is a few hundred bytes. */
const mostBytes = 64 * 1024

/** The request as the policy is asked about it. */
export function askOf<Head extends Ask>({ answers }: Snapshot, head: Head): Head {
  return answers.size > 0 && answers.has(endpointKey(head)) ? { ...head, answered: true } : head
}

function endpointKey({ host, port, path }: Pick<Ask, 'host' | 'port' | 'path'>): string {
  return `${host}:${port}${path}`
}

/**
 * The credentials whose token endpoint this is, of those the rule gives to this agent. None: it is one, but not for this
 * agent. `undefined`: it is no token endpoint of ours.
 */
export function tokenEndpointOf(
  { snapshot, agent }: Exchange,
  given: readonly string[],
  head: RequestHead,
): readonly Credential[] | undefined {
  if (snapshot.answers.size === 0) return undefined
  const owners = snapshot.answers.get(endpointKey(head))
  return owners?.filter(({ id, agents }) => given.includes(id) && (agents === undefined || agents.has(agent.id)))
}

/**
 * Answers an agent's own token call here, with stubs: it never goes upstream. A login is made in its place where the policy
 * says so. Anything else is refused, since a real value would come back to whoever sent a real one.
 */
export async function answerTokenCall(
  owners: readonly Credential[],
  head: RequestHead,
  body: RequestBody | undefined,
  client: Client,
  seen: Trace,
  logins: LoginTaker,
): Promise<Denial | undefined> {
  seen.credential = owners[0]?.id
  if (owners.length === 0) return refuse('the rule gives this agent no credential of this token endpoint')
  if (head.method !== 'POST') return refuse('a token endpoint takes POST only')
  client.proceed()
  const request = { contentType: headerValue(head.headers, 'content-type') ?? '', body: await read(body) }
  const [first, ...others] = owners.flatMap((credential) => {
    return credential.lease ? [{ credential, ...credential.lease.answer(request) }] : []
  })
  const all = [first, ...others]
  const answer = all.find((each) => each?.kind === 'answered') ?? all.find((each) => each?.kind === 'login') ?? first
  if (!answer || answer.kind === 'refused') return refuse(answer?.reason ?? 'nothing answers here')
  seen.credential = answer.credential.id
  const login = answer.kind === 'login'
  const text = login ? await logins.capture(answer.credential, head, request) : answer.body
  seen.answered = true
  seen.captured = login || undefined
  reply(client, seen, text)
  return undefined
}

function reply(client: Client, seen: Trace, text: string): void {
  const bytes = Buffer.from(text)
  seen.status = 200
  seen.bytesDown = bytes.length
  client.head(200, ['content-type', 'application/json', 'cache-control', 'no-store', 'content-length', String(bytes.length)])
  client.data(bytes)
  client.end([])
}

async function read(body: RequestBody | undefined): Promise<string> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of body?.chunks ?? []) {
    size += chunk.length
    if (size > mostBytes) throw new ProxyError('token_call_refused', 'the token request is too long')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function refuse(reason: string): Denial {
  return { kind: 'deny', code: 'token_call_refused', reason }
}
