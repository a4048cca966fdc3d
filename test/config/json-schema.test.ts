import { readdir, readFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { policyJsonSchema } from '#config/json-schema.ts'

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
})
