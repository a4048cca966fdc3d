/** Where policy and credentials do not fit each other, and what is accepted but not active yet. */
import { patternText } from '#base/host.ts'
import type { HostPattern } from '#base/host.ts'
import { patternsMeet } from '#base/host-pattern.ts'
import { indexStubs } from '#credentials/swap/stubs.ts'
import type { Credential } from '#credentials/types.ts'
import type { PolicyFinding } from '#policy/review.ts'
import type { Policy, Rule } from '#policy/types.ts'
import type { Merged } from './merge.ts'

/** Everything questionable about credentials and the rules that name them. */
export function reviewCredentials(policy: Policy, credentials: ReadonlyMap<string, Credential>, merged: Merged): PolicyFinding[] {
  const all = [...credentials.values()]
  return [
    ...all.flatMap((credential) => reviewCredential(credential, policy.rules, merged)),
    ...policy.rules.flatMap((rule) => reviewRule(rule, credentials)),
    ...reviewStubs(credentials),
  ]
}

// Public services that answer with what they were sent: a credential scoped to them comes back to whoever asks.
const echoes = new Set(['httpbin.org', 'httpbingo.org', 'postman-echo.com', 'webhook.site', 'reqbin.com'])

function reviewCredential(credential: Credential, rules: readonly Rule[], { credentials, names }: Merged): PolicyFinding[] {
  const at = ['credentials', credential.id]
  const shared = rules.filter((rule) => sharesAgents(rule, credential))
  const using = shared.filter((rule) => rule.credentials.includes(credential.id))
  const findings: PolicyFinding[] = []
  for (const [index, agent] of [...(credential.agents ?? [])].entries()) {
    if (!names.agents.has(agent)) findings.push(error([...at, 'agents', index], `no agent is called ${JSON.stringify(agent)}`))
  }
  for (const [index, host] of credential.hosts.entries()) {
    const place = [...at, 'hosts', index]
    const text = JSON.stringify(patternText(host))
    const spliced = shared.find((rule) => !rule.inspect && reached(host, [rule]))
    if (spliced)
      findings.push(
        error(place, `${text} is spliced by rule "${spliced.id}" (inspect: false), so nothing can be swapped in there`),
      )
    if (echoes.has(patternText(host).replace(/^\*\./, ''))) {
      findings.push(warning(place, `${text} answers with what it is sent; a credential scoped there can come back to the agent`))
    }
    // A host that no rule reaches at all is refused as such: there is no request that lacks the credential.
    if (using.length > 0 && reached(host, shared) && !reached(host, using)) {
      findings.push(warning(place, `no rule that names this credential reaches ${text}, so it is never swapped in there`))
    }
  }
  for (const { host, path } of credential.lease?.answers ?? []) {
    const spliced = shared.find((rule) => !rule.inspect && reached({ kind: 'exact', host }, [rule]))
    if (spliced)
      findings.push(
        error(
          at,
          `"${host}${path}" is spliced by rule "${spliced.id}" (inspect: false), so no agent can be answered in its place`,
        ),
      )
  }
  const { whoami = 'off' } = credentials.get(credential.id) ?? {}
  if (whoami !== 'off' && !credential.whoami)
    findings.push(
      warning(
        [...at, 'whoami'],
        `${whoami} cannot be asked: that takes an exact host, and a value that is sent as a bearer token`,
      ),
    )
  if (using.length === 0)
    findings.push(warning(at, 'no rule swaps this credential in; name it under `credentials` of a rule for its hosts'))
  return findings
}

function reviewRule(rule: Rule, credentials: ReadonlyMap<string, Credential>): PolicyFinding[] {
  const findings = rule.credentials.flatMap((id, index): PolicyFinding[] => {
    const credential = credentials.get(id)
    if (!credential) return []
    const place = ['rules', rule.index, 'credentials', index]
    if (!sharesAgents(rule, credential))
      return [warning(place, `${JSON.stringify(id)} is granted to none of the agents of this rule`)]
    // At the token endpoints that are answered here nothing is swapped in, and the credential belongs there all the same.
    const answered = credential.lease?.answers.map(({ host }) => ({ kind: 'exact', host }) as const) ?? []
    if ([...credential.hosts, ...answered].some((host) => reached(host, [rule]))) return []
    return [warning(place, `${JSON.stringify(id)} is scoped to none of the hosts of this rule`)]
  })
  if (rule.plain && rule.credentials.length > 0)
    findings.push(
      warning(['rules', rule.index, 'plain'], 'over plain HTTP no credential is swapped in, whatever this rule names'),
    )
  return findings
}

// A stub must tell which credential is meant: the same one twice is fine only where hosts or agents keep them apart.
function reviewStubs(credentials: ReadonlyMap<string, Credential>): PolicyFinding[] {
  return [...indexStubs(credentials.values()).byStub.values()].flatMap((holders) =>
    holders.flatMap((one, index) =>
      holders.slice(index + 1).flatMap((other) => {
        if (!sharesAgents(one, other) || !one.hosts.some((host) => other.hosts.some((each) => patternsMeet(host, each))))
          return []
        return [
          error(
            ['credentials', other.id],
            `its stub is that of "${one.id}" too, for the same agents and hosts; give it a stub of its own`,
          ),
        ]
      }),
    ),
  )
}

function reached(host: HostPattern, rules: readonly Rule[]): boolean {
  return rules.some((rule) => rule.hosts.some((pattern) => patternsMeet(pattern, host)))
}

function sharesAgents(
  one: { readonly agents: ReadonlySet<string> | undefined },
  other: { readonly agents: ReadonlySet<string> | undefined },
): boolean {
  return one.agents === undefined || other.agents === undefined || !one.agents.isDisjointFrom(other.agents)
}

function error(path: PolicyFinding['path'], message: string): PolicyFinding {
  return { severity: 'error', path, message }
}

function warning(path: PolicyFinding['path'], message: string): PolicyFinding {
  return { severity: 'warning', path, message }
}
