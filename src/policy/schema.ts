/**
 * What a policy may say about agents, rules, budgets and DNS. Credentials are ids here: their own room describes them,
 * and config/ joins the two. The descriptions are the help that editors show, through `policies/schema.json`.
 */
import { z } from 'zod'
import { parseAddress, parseCidr } from '#base/address.ts'
import { parseEndpoint } from '#base/endpoint.ts'
import { hostPatternField, idField, secretRefField } from '#base/fields.ts'
import { parseHost } from '#base/host.ts'
import { parseGitScope } from './git.ts'
import { parsePathPattern } from './match.ts'

/** A text leaf that is read by one of our parsers; `undefined` from it is refused with `message`. */
function leaf<Value>(read: (text: string) => Value | undefined, message: (quoted: string) => string) {
  return z.string().transform((text, context) => {
    const value = read(text)
    if (value !== undefined) return value
    context.addIssue({ code: 'custom', message: message(JSON.stringify(text)) })
    return z.NEVER
  })
}

function nonEmpty<Item extends z.ZodType>(item: Item, why: string) {
  return z.array(item).min(1, { error: why })
}

const cidrField = leaf(parseCidr, (text) => `${text} is not an address range; write one such as "10.42.0.0/16"`)
const hostField = leaf(parseHost, (text) => `${text} is not a host name`)
const gitScopeField = leaf(parseGitScope, (text) => `${text} is not a repository; write "owner/name", with "*" for a whole part`)
const pathPatternField = z.string().transform((text, context) => {
  const pattern = parsePathPattern(text)
  if (!('refused' in pattern)) return pattern
  context.addIssue({ code: 'custom', message: pattern.refused })
  return z.NEVER
})

const sourceSchema = z
  .strictObject({
    cidr: cidrField.optional().meta({ description: 'An address or a range, such as 10.42.0.0/16' }),
    pod: z
      .strictObject({
        namespace: z.string().min(1).meta({ description: 'Kubernetes namespace' }),
        labels: z.record(z.string(), z.string()).default({}).meta({ description: 'Labels the pod must carry' }),
        serviceAccount: z.string().min(1).optional().meta({ description: 'ServiceAccount the pod must run as' }),
      })
      .optional()
      .meta({ description: 'Kubernetes: the pod that owns the source address' }),
    proxyAuth: z
      .strictObject({
        username: z.string().regex(/^[^:\s]{1,64}$/, { error: 'a user name has 1 to 64 characters, no colon and no space' }),
        password: secretRefField,
      })
      .optional()
      .meta({ description: 'Explicit proxy only: Proxy-Authorization with this name and password' }),
  })
  .refine((source) => Object.values(source).filter((each) => each !== undefined).length === 1, {
    error: 'write one of cidr, pod or proxyAuth; several places are several list items',
  })

export const agentSchema = z
  .strictObject({
    from: nonEmpty(sourceSchema, 'an agent without a place to speak from is never recognised').meta({
      description: 'Where this agent speaks from; any of these makes a request its own',
    }),
    budget: z
      .union([idField, nonEmpty(idField, 'an empty list is no budget; leave it out')])
      .optional()
      .meta({ description: 'Name of its budget, or several: a request must fit all of them' }),
    mode: z.enum(['enforce', 'report']).default('enforce').meta({
      description: 'report: what would be refused passes without any credential and is audited as would_deny',
    }),
  })
  .meta({ description: 'An agent: who may speak' })

const methodField = z
  .string()
  .regex(/^[A-Z][A-Z0-9-]{0,31}$/, { error: (issue) => `${JSON.stringify(issue.input)} is not a method; write it in upper case` })
  .refine((method) => !['CONNECT', 'TRACE', 'TRACK'].includes(method), { error: 'this method is never forwarded' })

const portField = z.int().min(1).max(65535)

const gitSchema = z
  .strictObject({
    fetch: z.array(gitScopeField).default([]).meta({ description: 'Repositories that may be cloned and fetched' }),
    push: z.array(gitScopeField).default([]).meta({ description: 'Repositories that may be pushed to' }),
  })
  .refine((git) => git.fetch.length + git.push.length > 0, { error: 'name a repository under fetch or push' })

const priceField = z
  .strictObject({
    usd: z.number().min(0).max(1e6).default(0).meta({ description: 'US dollars for each request' }),
    tokens: z.int().min(0).max(1e12).default(0).meta({ description: 'Weighted tokens for each request' }),
  })
  .refine(({ usd, tokens }) => usd > 0 || tokens > 0, { error: 'name a price in usd, in tokens, or in both' })

export const ruleSchema = z
  .strictObject({
    id: idField.meta({ description: 'Shows up in audit, metrics and refusals' }),
    effect: z.enum(['allow', 'deny']).default('allow').meta({
      description:
        'deny: refuse what matches; read widely, on every port, over plain HTTP, in any case, with or without a final slash',
    }),
    reason: z.string().min(1).max(500).optional().meta({ description: 'What the agent reads when this rule refuses' }),
    agents: nonEmpty(idField, 'an empty list matches no agent; leave it out for every agent').optional().meta({
      description: 'Only these agents; left out: every agent',
    }),
    hosts: nonEmpty(hostPatternField, 'a rule without hosts matches nothing').meta({
      description: 'Exact names, or *.zone for every name below a zone (not the zone itself)',
    }),
    ports: nonEmpty(portField, 'an empty list matches no port; leave it out for the default').optional().meta({
      description: 'Default: 443, and 80 with plain: true; every port when the rule denies',
    }),
    methods: nonEmpty(methodField, 'an empty list matches no method; leave it out for every method').optional().meta({
      description: 'HTTP methods in upper case; left out: every method',
    }),
    paths: nonEmpty(pathPatternField, 'an empty list matches no path; leave it out for every path').optional().meta({
      description: 'Path patterns: * is one segment, ** any number; left out: every path',
    }),
    git: gitSchema
      .optional()
      .meta({ description: 'git over HTTPS only, for these repositories: owner/name, * for a whole part' }),
    plain: z.boolean().default(false).meta({ description: 'Plain HTTP too; a credential is never swapped there' }),
    inspect: z.boolean().default(true).meta({ description: 'false: spliced by SNI, not decrypted; no credential possible' }),
    credentials: z.array(idField).default([]).meta({ description: 'Credentials that may be swapped in here' }),
    meter: idField.optional().meta({
      description: 'Provider whose usage is counted from the replies and charged to the budget of the agent; auto: by the host',
    }),
    price: priceField.optional().meta({
      description: 'With a meter: what each request costs at an endpoint that does not report its usage; refused otherwise',
    }),
    mints: z.enum(['refuse', 'allow']).optional().meta({
      description: 'allow: endpoints that answer with a new secret too, which nobody takes out of the reply; refused otherwise',
    }),
    foreign: z.enum(['refuse', 'allow']).optional().meta({
      description: 'Whether an agent may send a credential of its own here; left out: as its credentials say',
    }),
  })
  .check(({ value: rule, issues }) => {
    const clash = (key: keyof typeof rule, message: string) =>
      issues.push({ code: 'custom', path: [key], message, input: rule[key] })
    if (rule.effect === 'deny') {
      if (rule.credentials.length > 0) clash('credentials', 'a rule that refuses swaps nothing; remove the credentials')
      if (rule.plain) clash('plain', 'a rule that refuses covers plain HTTP already; remove this')
      if (!rule.inspect) clash('inspect', 'a rule that refuses splices nothing; remove this')
      if (rule.foreign) clash('foreign', 'a rule that refuses lets no credential through; remove this')
      if (rule.mints) clash('mints', 'a rule that refuses has nothing made; remove this')
      if (rule.meter) clash('meter', 'a rule that refuses has nothing to count; remove this')
    } else if (!rule.inspect) {
      const unseen = 'what is spliced is not decrypted, so this cannot be looked at; remove it, or inspect: false'
      if (rule.credentials.length > 0)
        clash('credentials', 'what is spliced is not decrypted, so nothing can be swapped in; remove these, or inspect: false')
      if (rule.methods) clash('methods', unseen)
      if (rule.paths) clash('paths', unseen)
      if (rule.git) clash('git', unseen)
      if (rule.meter) clash('meter', unseen)
      if (rule.foreign) clash('foreign', unseen)
      if (rule.mints) clash('mints', unseen)
      if (rule.plain) clash('plain', 'only TLS can be spliced; give plain HTTP a rule of its own')
    }
    if (rule.price && !rule.meter) clash('price', 'a price is charged by a meter; name one, or remove this')
    if (rule.git && rule.paths) clash('paths', 'git says already which paths; remove one of the two')
    if (rule.git && rule.methods) clash('methods', 'git says already which methods; remove one of the two')
  })
  .meta({ description: 'A rule: the first that matches decides; no match is a refusal' })

const weightField = z.number().min(0).max(1000).optional()

export const budgetSchema = z
  .strictObject({
    per: z.enum(['agent', 'crew']).default('agent').meta({ description: 'agent: one each; crew: shared by all who name it' }),
    window: z.enum(['hour', 'day', 'week', 'month']).meta({ description: 'When it starts anew, in `timezone`' }),
    timezone: z
      .string()
      .refine(isTimezone, {
        error: (issue) => `${JSON.stringify(issue.input)} is not a time zone; write one such as "Europe/Berlin"`,
      })
      .default('UTC')
      .meta({ description: 'IANA name; default UTC' }),
    tokens: z.int().min(0).optional().meta({ description: '0 blocks everything; left out: no token limit' }),
    usd: z.number().min(0).optional().meta({ description: 'Money limit in US dollars; left out: none' }),
    warnAt: z
      .array(z.number().gt(0).lt(1))
      .default([])
      .meta({ description: 'Shares of the limit at which to warn, such as 0.8' }),
    atLimit: z.enum(['refuse', 'cut']).default('refuse').meta({
      description: 'refuse: running streams may end; cut: they are ended too',
    }),
    whenBlind: z.enum(['refuse', 'allow']).default('refuse').meta({
      description:
        'While the ledger cannot be asked. refuse: what is set aside for this replica, then nothing; allow: everything',
    }),
    weights: z
      .strictObject({ input: weightField, output: weightField, cache_read: weightField, cache_write: weightField })
      .default({})
      .meta({ description: 'How a token counts against `tokens`; default 1 each' }),
  })
  .meta({ description: 'A budget: a ceiling for tokens or money' })

const perMillionField = z.number().min(0).max(1e6)

/** US dollars for a million tokens of a model. */
export const modelPriceSchema = z.strictObject({
  input: perMillionField,
  output: perMillionField,
  cache_read: perMillionField.optional().meta({ description: 'Left out: as input' }),
  cache_write: perMillionField.optional().meta({ description: 'Left out: as input' }),
})

/** A model as providers write it; `*` at its end stands for any rest. */
export const modelNameField = z.string().regex(/^[\x21-\x29\x2b-\x7e]{1,200}\*?$/, {
  error: (issue) =>
    `${JSON.stringify(issue.input)} is not a model; write its name as the provider does, with "*" only at its end`,
})

const resolverField = z.string().refine((text) => parseEndpoint(text) !== undefined, {
  error: (issue) => `${JSON.stringify(issue.input)} is not a resolver; write an address, or address:port`,
})

const recordSchema = z
  .strictObject({
    name: hostField,
    type: z.enum(['A', 'AAAA', 'CNAME', 'TXT']),
    value: z.string().min(1).max(255),
  })
  .refine(fitsType, {
    path: ['value'],
    error: 'the value does not fit the type: A and AAAA take an address, CNAME a name, TXT plain ASCII',
  })

export const dnsSchema = z
  .strictObject({
    deny: z.enum(['sinkhole', 'refuse']).optional().meta({
      description:
        'An unreachable name: sinkhole answers with our address, so that the client reads a 403; refuse answers REFUSED',
    }),
    forward: z
      .array(
        z.strictObject({
          zones: nonEmpty(hostField, 'name a zone').meta({ description: 'These names and all below them' }),
          to: nonEmpty(resolverField, 'name a resolver').meta({ description: 'Resolvers, asked in this order' }),
        }),
      )
      .default([])
      .meta({ description: 'Zones answered by other resolvers and reached directly by the agent' }),
    records: z.array(recordSchema).default([]).meta({ description: 'Fixed answers' }),
  })
  .meta({ description: 'Names that go around the proxy' })

export type AgentInput = z.output<typeof agentSchema>
export type RuleInput = z.output<typeof ruleSchema>
export type BudgetInput = z.output<typeof budgetSchema>
export type ModelPriceInput = z.output<typeof modelPriceSchema>
export type DnsInput = z.output<typeof dnsSchema>

function isTimezone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone !== ''
  } catch {
    return false
  }
}

function fitsType({ type, value }: { type: 'A' | 'AAAA' | 'CNAME' | 'TXT'; value: string }): boolean {
  switch (type) {
    case 'A':
    case 'AAAA':
      return parseAddress(value) !== undefined && value.includes(':') === (type === 'AAAA')
    case 'CNAME':
      return parseHost(value) !== undefined
    case 'TXT':
      return /^[ -~]*$/.test(value)
    default:
      return type satisfies never
  }
}
