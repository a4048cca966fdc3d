import { z } from 'zod'
import { patternText } from '#base/host.ts'
import { secretRefField } from '#base/fields.ts'
import { commonFields, credentialKind, stubField } from '../swap/fields.ts'
import { findInJson, parsePointer } from '../swap/json-place.ts'
import { encodePercent, readParams } from '../swap/query-string.ts'
import type { BodyFinding } from '../types.ts'

/**
 * Public services that keep what they are sent and show it again: a value in a body there is a value published. A host whose one
 * endpoint does not is a matter of `stores: allow`.
 */
const storing = new Set([
  'api.github.com',
  'bitbucket.org',
  'discord.com',
  'docs.googleapis.com',
  'gist.github.com',
  'github.com',
  'gitlab.com',
  'graph.microsoft.com',
  'paste.ee',
  'pastebin.com',
  'sheets.googleapis.com',
  'uploads.github.com',
  'www.googleapis.com',
])

const pathField = z.string().regex(/^\/[\x21-\x22\x24-\x3e\x40-\x7e]*$/, {
  error: 'write the whole path as the client sends it, without query: "/api/auth.test"',
})

/** A string in a request body: a member of a JSON document, or a field of a form. */
export const body = credentialKind({
  kind: 'body',
  schema: z
    .strictObject({
      kind: z.literal('body'),
      stub: stubField,
      secret: secretRefField,
      paths: z.array(pathField).min(1, { error: 'name the paths whose bodies carry the credential' }).meta({
        description: 'Whole paths, no patterns: bodies anywhere else are never looked at',
      }),
      pointer: z
        .string()
        .refine((text) => parsePointer(text) !== undefined, { error: 'write a JSON pointer (RFC 6901) such as "/auth/token"' })
        .optional()
        .meta({ description: 'Where the stub stands in a JSON body, as a JSON pointer' }),
      field: z.string().min(1).optional().meta({ description: 'The form field that is the stub' }),
      maxBytes: z
        .int()
        .min(1)
        .max(64 << 20)
        .default(1 << 20)
        .meta({ description: 'Bytes of the longest body; a longer one is refused' }),
      stores: z.enum(['refuse', 'allow']).default('refuse').meta({
        description: 'allow: a host that is known to keep what it is sent, for paths of which you know that they do not',
      }),
      ...commonFields,
    })
    .check(({ value, issues }) => {
      const wrong = (key: string, message: string) => issues.push({ code: 'custom', path: [key], message, input: value })
      if ((value.pointer === undefined) === (value.field === undefined))
        wrong('pointer', 'name one place: `pointer` in a JSON body, or `field` of a form')
      for (const host of value.hosts) {
        const text = patternText(host)
        if (host.kind !== 'exact') wrong('hosts', `"${text}" is many hosts; name each whose bodies carry the credential`)
        else if (value.stores === 'refuse' && storing.has(text))
          wrong('hosts', `"${text}" keeps what it is sent; if these paths do not, say \`stores: allow\``)
      }
    }),
  stubs: (config) => [config.stub],
  secret: (config) => config.secret,
  placer({ stub, paths, pointer, field, maxBytes }) {
    const keys = pointer === undefined ? undefined : parsePointer(pointer)
    const type = keys ? 'application/json' : 'application/x-www-form-urlencoded'
    return {
      headers: [],
      params: [],
      body: {
        name: pointer ?? field ?? '',
        most: maxBytes,
        takes: ({ method, path, contentType }) =>
          contentType === type && paths.includes(path) && (method === 'POST' || method === 'PUT' || method === 'PATCH'),
        find: (text) => (keys ? inJson(text, keys, stub) : inForm(text, field ?? '', stub)),
        write: (real) => (keys ? Buffer.from(JSON.stringify(real)).toString('latin1') : encodePercent(real)),
      },
    }
  },
})

function inJson(text: string, keys: readonly string[], stub: string): BodyFinding {
  const found = findInJson(text, keys)
  if (found.kind !== 'found') return found
  const { start, end, value } = found
  return judged(value, stub, start, end)
}

function inForm(text: string, field: string, stub: string): BodyFinding {
  const [first, ...others] = readParams(`?${text}`).filter(({ name }) => name === field)
  if (!first) return { kind: 'absent' }
  if (others.length > 0) return { kind: 'ambiguous' }
  return judged(first.value, stub, first.start - 1, first.end - 1)
}

function judged(value: unknown, stub: string, start: number, end: number): BodyFinding {
  if (value === stub) return { kind: 'stub', start, end }
  return value === '' || value === null ? { kind: 'absent' } : { kind: 'other' }
}
