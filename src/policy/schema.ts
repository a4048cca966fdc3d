/**
 * What a policy may say about agents and rules; budgets and DNS are beside this. Credentials are ids here: their own room
 * describes them, and config/ joins the two. The descriptions are the help that editors show, through `policies/schema.json`.
 */
import { z } from 'zod'
import { parseCidr } from '#base/address.ts'
import { hostPatternField, idField, nonEmpty, parsedField, secretRefField } from '#base/fields.ts'
import { parseGitScope } from './git.ts'
import { parsePathPattern } from './match.ts'

const cidrField = parsedField(parseCidr, 'an address range; write one such as "10.42.0.0/16"')
const gitScopeField = parsedField(parseGitScope, 'a repository; write "owner/name", with "*" for a whole part')
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
        username: z
          .string()
          .regex(/^[^:\s]{1,64}$/, { error: 'a user name has 1 to 64 characters, no colon and no space' })
          .meta({ description: 'User name of the explicit proxy' }),
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
  .meta({ description: 'An agent: who may speak', examples: [{ from: [{ cidr: '10.42.7.0/24' }], budget: 'day' }] })

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
      description:
        'Path patterns: * is one segment, ** any number, in every reading of the path (an encoded slash is one); left out: every path',
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
    amend: z.boolean().optional().meta({
      description:
        'With a meter: whether it may add fields to a request (`stream_options`) so that the reply reports its usage; false: that is estimated',
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
    if (rule.amend !== undefined && !rule.meter) clash('amend', 'only a meter adds fields; name one, or remove this')
    if (rule.price && !rule.meter) clash('price', 'a price is charged by a meter; name one, or remove this')
    if (rule.git && rule.paths) clash('paths', 'git says already which paths; remove one of the two')
    if (rule.git && rule.methods) clash('methods', 'git says already which methods; remove one of the two')
  })
  .meta({
    description: 'A rule: the first that matches decides; no match is a refusal',
    examples: [
      { id: 'api', hosts: ['api.example.com'], methods: ['GET', 'HEAD'], paths: ['/v1/**'] },
      { id: 'no-deletion', effect: 'deny', hosts: ['api.github.com'], methods: ['DELETE'], paths: ['/repos/*/*'] },
      { id: 'git', hosts: ['github.com'], git: { fetch: ['*/*'], push: ['example/project'] }, credentials: ['github'] },
    ],
  })

export type AgentInput = z.output<typeof agentSchema>
export type RuleInput = z.output<typeof ruleSchema>
