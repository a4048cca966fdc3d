import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { secretRefField } from '#base/fields.ts'
import { mapSecrets, secretsIn } from '#config/secret-refs.ts'

const one = z.strictObject({ kind: z.literal('one'), secret: secretRefField.meta({ description: 'a value' }) })
const two = z
  .strictObject({
    kind: z.literal('two'),
    keys: z.strictObject({ id: secretRefField.optional(), key: secretRefField }),
    list: z.array(z.strictObject({ password: secretRefField }).refine(() => true)).default([]),
    levels: z.record(z.string(), z.string()).optional(),
    name: z.string().transform((text) => ({ file: text })),
  })
  .check(() => {})
const schema = z.discriminatedUnion('kind', [one, two])

const entry = schema.parse({
  kind: 'two',
  keys: { key: { file: 'a', jsonKey: 'k' } },
  list: [{ password: { env: 'P' } }, { password: { file: 'b' } }],
  levels: { file: 'read' },
  name: 'c',
})

describe('the secrets of an entry', () => {
  it('are found by its schema, however deep and however described', () => {
    expect(secretsIn(schema, schema.parse({ kind: 'one', secret: { env: 'A' } }), ['x'])).toEqual([
      { path: ['x', 'secret'], ref: { env: 'A' } },
    ])
    expect(secretsIn(schema, entry, ['x', 'y'])).toEqual([
      { path: ['x', 'y', 'keys', 'key'], ref: { file: 'a', jsonKey: 'k' } },
      { path: ['x', 'y', 'list', 0, 'password'], ref: { env: 'P' } },
      { path: ['x', 'y', 'list', 1, 'password'], ref: { file: 'b' } },
    ])
  })

  it('are changed in a copy, and nothing that only looks like one is', () => {
    const before = structuredClone(entry)
    expect(mapSecrets(schema, entry, (ref) => ('file' in ref ? { ...ref, file: `/${ref.file}` } : ref))).toEqual({
      kind: 'two',
      keys: { key: { file: '/a', jsonKey: 'k' } },
      list: [{ password: { env: 'P' } }, { password: { file: '/b' } }],
      levels: { file: 'read' },
      name: { file: 'c' },
    })
    expect(entry).toEqual(before)
  })
})
