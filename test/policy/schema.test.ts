import { describe, expect, it } from 'vitest'
import { budgetSchema } from '#policy/budget-schema.ts'
import { dnsSchema } from '#policy/dns-schema.ts'
import { agentSchema, ruleSchema } from '#policy/schema.ts'

function problems(
  schema: {
    safeParse(value: unknown): { error?: { issues: readonly { path: readonly PropertyKey[]; message: string }[] } | undefined }
  },
  value: unknown,
) {
  return schema.safeParse(value).error?.issues.map(({ path, message }) => `${path.join('.')}: ${message}`) ?? []
}

const unseen = 'what is spliced is not decrypted, so this cannot be looked at; remove it, or inspect: false'

describe('rules', () => {
  it.each([
    [{ id: 'a b' }, 'id: "a b" is not an id; use 1 to 63 letters, digits, "-", "_" or ".", the first a letter or digit'],
    [{ hosts: [] }, 'hosts: a rule without hosts matches nothing'],
    [{ methods: ['get'] }, 'methods.0: "get" is not a method; write it in upper case'],
    [{ methods: ['TRACE'] }, 'methods.0: this method is never forwarded'],
    [{ methods: [] }, 'methods: an empty list matches no method; leave it out for every method'],
    [{ agents: [] }, 'agents: an empty list matches no agent; leave it out for every agent'],
    [{ paths: ['v1'] }, 'paths.0: "v1" does not start with "/"; write "/v1"'],
    [{ git: {} }, 'git: name a repository under fetch or push'],
    [{ git: { push: ['name'] } }, 'git.push.0: "name" is not a repository; write "owner/name", with "*" for a whole part'],
    [{ git: { fetch: ['*/*'] }, paths: ['/x'] }, 'paths: git says already which paths; remove one of the two'],
    [{ git: { fetch: ['*/*'] }, methods: ['GET'] }, 'methods: git says already which methods; remove one of the two'],
    [{ inspect: false, methods: ['GET'] }, `methods: ${unseen}`],
    [{ inspect: false, paths: ['/x'] }, `paths: ${unseen}`],
    [{ inspect: false, git: { fetch: ['*/*'] } }, `git: ${unseen}`],
    [{ inspect: false, foreign: 'allow' }, `foreign: ${unseen}`],
    [{ inspect: false, meter: 'x' }, `meter: ${unseen}`],
    [{ inspect: false, plain: true }, 'plain: only TLS can be spliced; give plain HTTP a rule of its own'],
    [
      { inspect: false, credentials: ['x'] },
      'credentials: what is spliced is not decrypted, so nothing can be swapped in; remove these, or inspect: false',
    ],
    [{ effect: 'deny', credentials: ['x'] }, 'credentials: a rule that refuses swaps nothing; remove the credentials'],
    [{ effect: 'deny', plain: true }, 'plain: a rule that refuses covers plain HTTP already; remove this'],
    [{ effect: 'deny', inspect: false }, 'inspect: a rule that refuses splices nothing; remove this'],
    [{ effect: 'deny', foreign: 'allow' }, 'foreign: a rule that refuses lets no credential through; remove this'],
    [{ effect: 'deny', meter: 'x' }, 'meter: a rule that refuses has nothing to count; remove this'],
  ])('%j is refused', (fields, problem) => {
    expect(problems(ruleSchema, { id: 'r', hosts: ['x.test'], ...fields })).toEqual([problem])
  })

  it.each([
    [{ ports: [0] }],
    [{ ports: [65536] }],
    [{ ports: ['443'] }],
    [{ ports: [] }],
    [{ effect: 'maybe' }],
    [{ plain: 'no' }],
    [{ host: 'x' }],
  ])('%j is refused', (fields) => {
    expect(problems(ruleSchema, { id: 'r', hosts: ['x.test'], ...fields })).toHaveLength(1)
  })
})

describe('agents', () => {
  it.each([
    [{ from: [] }, 'from: an agent without a place to speak from is never recognised'],
    [{ from: [{ cidr: '10.0.0.0/33' }] }, 'from.0.cidr: "10.0.0.0/33" is not an address range; write one such as "10.42.0.0/16"'],
    [{ from: [{ cidr: '010.0.0.1' }] }, 'from.0.cidr: "010.0.0.1" is not an address range; write one such as "10.42.0.0/16"'],
    [{ from: [{}] }, 'from.0: write one of cidr, pod or proxyAuth; several places are several list items'],
    [
      { from: [{ cidr: '10.0.0.1', pod: { namespace: 'x' } }] },
      'from.0: write one of cidr, pod or proxyAuth; several places are several list items',
    ],
    [
      { from: [{ proxyAuth: { username: 'a:b', password: { env: 'X' } } }] },
      'from.0.proxyAuth.username: a user name has 1 to 64 characters, no colon and no space',
    ],
    [
      { from: [{ proxyAuth: { username: 'a', password: {} } }] },
      'from.0.proxyAuth.password: name one place: {file: …} or {env: …}',
    ],
  ])('%j is refused', (agent, problem) => {
    expect(problems(agentSchema, agent)).toEqual([problem])
  })
})

describe('budgets and DNS', () => {
  const misfit = 'records.0.value: the value does not fit the type: A and AAAA take an address, CNAME a name, TXT plain ASCII'

  it('refuses a time zone that does not exist', () => {
    expect(problems(budgetSchema, { window: 'day', timezone: 'Mars/Base' })).toEqual([
      'timezone: "Mars/Base" is not a time zone; write one such as "Europe/Berlin"',
    ])
  })

  it.each<[object, string]>([
    [{ forward: [{ zones: [], to: ['10.0.0.1'] }] }, 'forward.0.zones: name a zone'],
    [
      { forward: [{ zones: ['svc'], to: ['resolver'] }] },
      'forward.0.to.0: "resolver" is not a resolver; write an address, or address:port',
    ],
    [{ records: [{ name: 'a b', type: 'A', value: '10.0.0.1' }] }, 'records.0.name: "a b" is not a host name'],
    [{ records: [{ name: 'a.test', type: 'A', value: 'fd00::1' }] }, misfit],
    [{ records: [{ name: 'a.test', type: 'AAAA', value: '10.0.0.1' }] }, misfit],
    [{ records: [{ name: 'a.test', type: 'CNAME', value: 'a..b' }] }, misfit],
    [{ records: [{ name: 'a.test', type: 'TXT', value: 'ü' }] }, misfit],
  ])('%j is refused', (dns, problem) => {
    expect(problems(dnsSchema, dns)).toEqual([problem])
  })

  it('takes resolvers with and without a port', () => {
    expect(problems(dnsSchema, { forward: [{ zones: ['svc'], to: ['10.0.0.1', '10.0.0.1:5353', '[fd00::1]:53'] }] })).toEqual([])
  })
})
