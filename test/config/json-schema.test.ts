import { readdir, readFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { policyJsonSchema } from '#config/json-schema.ts'
import { policySchema } from '#config/schema.ts'
import { testJsonSchema } from '#policy-tools/test-schema.ts'
import { ruleSchema } from '#policy/schema.ts'

describe('the schema for editors', () => {
  it('is the committed one', async () => {
    expect(JSON.parse(await readFile('policies/schema.json', 'utf8'))).toEqual(policyJsonSchema())
  })

  it('describes what is written: keys, choices, defaults left out', () => {
    expect(policyJsonSchema()).toMatchObject({
      $schema: 'http://json-schema.org/draft-07/schema#',
      required: ['version'],
      additionalProperties: false,
      properties: {
        rules: {
          items: {
            required: ['id', 'hosts'],
            properties: { effect: { enum: ['allow', 'deny'] }, hosts: { items: { type: 'string' } } },
          },
        },
      },
    })
  })

  it('is named in the first line of every policy here', async () => {
    const names = async (folder: string) =>
      (await readdir(folder)).filter((name) => /^[\w-]+\.yaml$/.test(name)).map((name) => `${folder}/${name}`)
    for (const file of [...(await names('policies')), ...(await names('policies/examples'))]) {
      const [first] = (await readFile(file, 'utf8')).split('\n')
      expect(first).toBe(`# yaml-language-server: $schema=${file.startsWith('policies/examples') ? '..' : '.'}/schema.json`)
    }
  })

  it('has an id, examples, and a description of everything that can be written', () => {
    for (const schema of [policyJsonSchema(), testJsonSchema()]) {
      expect(schema['$id']).toMatch(/^urn:iron-proxy:/)
      expect(schema['examples']).toHaveLength(1)
      expect(undescribed(schema, '')).toEqual([])
    }
  })

  it('has examples that load', async () => {
    for (const example of policyJsonSchema()['examples'] as unknown[]) expect(policySchema.safeParse(example).success).toBe(true)
    const rules = (policyJsonSchema() as { properties: { rules: { items: { examples: unknown[] } } } }).properties.rules.items
      .examples
    for (const example of rules) expect(ruleSchema.safeParse(example).success).toBe(true)
  })
})

/** Keys of a schema that say nothing of themselves; a constant says it all. */
function undescribed(schema: unknown, path: string): string[] {
  if (typeof schema !== 'object' || schema === null) return []
  if (Array.isArray(schema)) return schema.flatMap((each) => undescribed(each, path))
  const { properties = {}, items, additionalProperties, anyOf, oneOf, allOf } = schema as Record<string, unknown>
  const own = Object.entries(properties as Record<string, Record<string, unknown>>).flatMap(([key, value]) => [
    ...(value['description'] === undefined && value['const'] === undefined ? [`${path}.${key}`] : []),
    ...undescribed(value, `${path}.${key}`),
  ])
  return [...own, ...[items, additionalProperties, anyOf, oneOf, allOf].flatMap((each) => undescribed(each, path))]
}
