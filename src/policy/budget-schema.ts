/** What a policy may say about budgets, and about prices that the built-in table does not have. */
import { z } from 'zod'

const weightField = z.number().min(0).max(1000).optional().meta({ description: 'What one token of this class counts' })

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

/** A model as providers write it; `*` at its end stands for any rest. */
export const modelNameField = z.string().regex(/^[\x21-\x29\x2b-\x7e]{1,200}\*?$/, {
  error: (issue) =>
    `${JSON.stringify(issue.input)} is not a model; write its name as the provider does, with "*" only at its end`,
})

/** US dollars for a million tokens of a model. */
export const modelPriceSchema = z
  .strictObject({
    like: modelNameField.optional().meta({ description: 'In place of numbers: as the built-in table prices this model' }),
    input: perMillionField.optional().meta({ description: 'US dollars for a million tokens of the prompt' }),
    output: perMillionField.optional().meta({ description: 'US dollars for a million tokens of the answer' }),
    cache_read: perMillionField.optional().meta({ description: 'Left out: as input' }),
    cache_write: perMillionField.optional().meta({ description: 'Left out: as input' }),
  })
  .check(({ value, issues }) => {
    const say = (key: string, message: string) => issues.push({ code: 'custom', path: [key], message, input: value })
    const { like, ...rates } = value
    const given = Object.entries(rates).find(([, rate]) => rate !== undefined)
    if (like !== undefined && given) say(given[0], `${given[0]} and like are two prices; remove one of them`)
    if (like === undefined && value.input === undefined)
      say('input', 'this is missing; write US dollars for a million tokens, or like')
    else if (like === undefined && value.output === undefined)
      say('output', 'this is missing; write US dollars for a million tokens')
  })

export type BudgetInput = z.output<typeof budgetSchema>
export type ModelPriceInput = z.output<typeof modelPriceSchema>

function isTimezone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone !== ''
  } catch {
    return false
  }
}
