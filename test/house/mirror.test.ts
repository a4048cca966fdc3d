import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { commands } from '#cli/index.ts'
import { policyJsonSchema } from '#config/json-schema.ts'
import { credentialKinds } from '#credentials/index.ts'
import { identityProviders } from '#credentials/whoami/index.ts'
import { testJsonSchema } from '#policy-tools/test-schema.ts'
import { providers } from '#providers/index.ts'
import { filesBelow, textOf, top } from './sources.ts'

const rows = [
  ...credentialKinds.map(({ kind }) => [`the credential kind ${kind}`, `test/credentials/kinds/${kind}.test.ts`] as const),
  ...identityProviders.map(({ name }) => [`the provider ${name}`, `test/credentials/whoami/${name}.test.ts`] as const),
  ...providers.map(({ id }) => [`the meter ${id}`, `test/providers/${id}.test.ts`] as const),
  ...filesBelow('src/vault/sources', '.ts')
    .filter((file) => !/(?:index|source)\.ts$/.test(file))
    .map((file) => [`the source ${file}`, file.replace('src/', 'test/').replace('.ts', '.test.ts')] as const),
]

describe('every row of a registry', () => {
  it.each(rows)('%s has a test', (_name, test) => {
    expect(existsSync(join(top, test)), test).toBe(true)
  })
})

describe('every command', () => {
  it.each(commands.map((command) => [command.name, command] as const))(
    '%s explains each of its options and shows an example',
    (_name, command) => {
      expect(Object.keys(command.options).filter((option) => command.help[option] === undefined)).toEqual([])
      expect(command.examples.length).toBeGreaterThan(0)
    },
  )
})

describe('policies/', () => {
  it('has a fresh schema.json; run `npm run schema`', () => {
    expect(JSON.parse(textOf('policies/schema.json'))).toEqual(policyJsonSchema())
  })

  it('has a fresh test.schema.json; run `npm run schema`', () => {
    expect(JSON.parse(textOf('policies/test.schema.json'))).toEqual(testJsonSchema())
  })

  it.each(filesBelow('policies', '.yaml'))('%s names the schema for editors', (file) => {
    const schema = file.endsWith('.test.yaml') ? 'test.schema.json' : 'schema.json'
    const [, named] = /^# yaml-language-server: \$schema=(\S+)\n/.exec(textOf(file)) ?? []
    expect(join(file, '..', named ?? '')).toBe(`policies/${schema}`)
  })
})

describe('the repository', () => {
  it('names no path of a machine and no package registry', () => {
    const folders = ['src', 'test', 'policies', 'deploy', 'bench'].filter((folder) => existsSync(join(top, folder)))
    const files = folders.flatMap((folder) => filesBelow(folder, '.ts', '.js', '.yaml', '.json', '.sh', '.md'))
    const suspicious = /(?<![\w./])\/(?:work|farm|root)\/|npmjs[.]org/
    expect([...files, 'README.md', 'package-lock.json', '.ci/run'].filter((file) => suspicious.test(textOf(file)))).toEqual([])
  })
})
