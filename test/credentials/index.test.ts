import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { compileFiles } from '#config/load.ts'
import { compileCredential, credentialKinds, credentialSchema } from '#credentials/index.ts'

const examples = join(import.meta.dirname, '..', '..', 'policies', 'examples')

const entry = {
  kind: 'bearer',
  stub: 'stub-for-bearer',
  secret: { file: 'secrets/token' },
  hosts: ['api.example.com', '*.example.org'],
}

describe('the registry of credential kinds', () => {
  it('has each kind once', () => {
    const kinds = credentialKinds.map((row) => row.kind)
    expect(new Set(kinds).size).toBe(kinds.length)
  })

  it('compiles an entry into what the journey needs, with nothing of the value', () => {
    const compiled = compileCredential('github', credentialSchema.parse({ ...entry, agents: ['devbot'] }))
    expect(compiled).toMatchObject({
      id: 'github',
      kind: 'bearer',
      hosts: [
        { kind: 'exact', host: 'api.example.com' },
        { kind: 'below', zone: 'example.org' },
      ],
      agents: new Set(['devbot']),
      stubs: ['stub-for-bearer'],
      foreign: 'refuse',
      secret: { file: 'secrets/token' },
    })
  })

  it('knows the same credential under another stub, of every kind', async () => {
    const kinds = new Set<string>()
    for (const name of readdirSync(examples).filter((each) => each.endsWith('.yaml'))) {
      const { snapshot } = await compileFiles(examples, [{ file: name, bytes: readFileSync(join(examples, name)) }])
      for (const credential of snapshot?.credentials.values() ?? []) {
        const other = credential.withStub('another-stub')
        expect(other.stubs, `${name} ${credential.id}`).toEqual(['another-stub', ...credential.stubs.slice(1)])
        expect({ ...other, withStub: 0, stubs: 0, placer: 0, lease: 0, whoami: 0 }).toEqual({
          ...credential,
          withStub: 0,
          stubs: 0,
          placer: 0,
          lease: 0,
          whoami: 0,
        })
        kinds.add(credential.kind)
      }
    }
    expect(kinds.size).toBeGreaterThan(4)
  })

  it('gives a credential to every agent when none is named', () => {
    expect(compileCredential('github', credentialSchema.parse(entry)).agents).toBeUndefined()
  })

  it.each([
    ['an unknown kind', { kind: 'magic' }],
    ['an unknown key', { sekret: 'x' }],
    ['no host', { hosts: [] }],
    ['a host pattern for everything', { hosts: ['*'] }],
    ['a host pattern for a whole top-level domain', { hosts: ['*.com'] }],
    ['an empty list of agents', { agents: [] }],
    ['a stub that is a short word', { stub: 'token' }],
    ['a stub with a space', { stub: 'stub for bearer' }],
    ['a stub with marks that encodings touch', { stub: 'stub+for/bearer=' }],
    ['a value in place of where it lives', { secret: 'something' }],
    ['two places for one value', { secret: { file: 'a', env: 'B' } }],
  ])('refuses %s', (_what, change) => {
    expect(credentialSchema.safeParse({ ...entry, ...change }).success).toBe(false)
  })

  it('says the fields of each kind in JSON Schema', () => {
    const written = JSON.stringify(z.toJSONSchema(credentialSchema, { io: 'input', target: 'draft-7' }))
    for (const { kind } of credentialKinds) expect(written).toContain(`"const":"${kind}"`)
  })
})
