/** The whole policy language: what policy/ and credentials/ each describe, joined in one document. */
import { z } from 'zod'
import { idField } from '#base/fields.ts'
import { credentialSchema } from '#credentials/index.ts'
import { budgetSchema, modelNameField, modelPriceSchema } from '#policy/budget-schema.ts'
import { dnsSchema } from '#policy/dns-schema.ts'
import { agentSchema, ruleSchema } from '#policy/schema.ts'

export const policySchema = z
  .strictObject({
    version: z.literal(1).meta({ description: 'Version of the policy language' }),
    agents: z.record(idField, agentSchema).default({}).meta({
      description: 'Who may speak. An address that matches no agent, or more than one, is refused',
    }),
    credentials: z.record(idField, credentialSchema).default({}).meta({
      description: 'What is swapped for what: a stub becomes the real value on its own hosts only, over TLS',
    }),
    rules: z.array(ruleSchema).default([]).meta({
      description: 'What may be reached. The first rule that matches decides; no match is a refusal',
    }),
    budgets: z.record(idField, budgetSchema).default({}).meta({ description: 'What it may cost' }),
    prices: z.record(modelNameField, modelPriceSchema).default({}).meta({
      description: 'Models that the built-in price table does not know or has otherwise, in US dollars for a million tokens',
    }),
    dns: dnsSchema.optional(),
  })
  .meta({
    title: 'iron-proxy policy',
    description: 'All *.yaml files of the policy directory are one policy',
    examples: [
      {
        version: 1,
        agents: { coder: { from: [{ cidr: '10.42.7.0/24' }] } },
        credentials: {
          github: {
            kind: 'bearer',
            stub: 'proxy-token-github',
            secret: { file: 'secrets/github-token' },
            hosts: ['api.github.com'],
          },
        },
        rules: [{ id: 'api', hosts: ['api.github.com'], credentials: ['github'] }],
      },
    ],
  })
