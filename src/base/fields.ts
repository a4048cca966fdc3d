/** Leaves of policies and settings that more than one room reads. */
import { z } from 'zod'
import { parseHostPattern } from './host-pattern.ts'
import type { SecretRef } from './secret.ts'

/** Ids become metric labels and audit words: short, plain, and nothing a shell or a query language would take apart. */
export const idField = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, {
  error: (issue) =>
    `${JSON.stringify(issue.input)} is not an id; use 1 to 63 letters, digits, "-", "_" or ".", the first a letter or digit`,
})

/** A text that one of our parsers reads; `undefined` from it is refused as not being what was `expected`. */
export function parsedField<Value>(read: (text: string) => Value | undefined, expected: string) {
  return z.string().transform((text, context) => {
    const value = read(text)
    if (value !== undefined) return value
    context.addIssue({ code: 'custom', message: `${JSON.stringify(text)} is not ${expected}` })
    return z.NEVER
  })
}

/** A list in which something stands; `why` says what an empty one would mean. */
export function nonEmpty<Item extends z.ZodType>(item: Item, why: string) {
  return z.array(item).min(1, { error: why })
}

/** `api.example.com`, or `*.example.com` for every name below the zone. */
export const hostPatternField = z.string().transform((text, context) => {
  const pattern = parseHostPattern(text)
  if (pattern.kind !== 'refused') return pattern
  context.addIssue({ code: 'custom', message: pattern.reason })
  return z.NEVER
})

/** Where a secret lives: `{file: …}` or `{env: …}`; `jsonKey` picks one member of a JSON object. */
export const secretRefField = z
  .strictObject({
    file: z
      .string()
      .min(1)
      .optional()
      .meta({ description: 'File that holds the value; relative to the policy file that names it' }),
    env: z.string().min(1).optional().meta({ description: 'Environment variable that holds the value; read once at start' }),
    jsonKey: z.string().min(1).optional().meta({ description: 'The value is this member of a JSON object' }),
  })
  .transform((ref, context): SecretRef => {
    const { file, env, jsonKey } = ref
    if (file !== undefined && env === undefined) return { file, jsonKey }
    if (env !== undefined && file === undefined) return { env, jsonKey }
    context.addIssue({ code: 'custom', message: 'name one place: {file: …} or {env: …}' })
    return z.NEVER
  })
  .meta({ description: 'Where the value stands: {file: …} or {env: …}; never the value itself' })
