import { randomBytes } from 'node:crypto'
import { format, inspect } from 'node:util'
import { describe, expect, it } from 'vitest'
import { Secret } from '#base/secret.ts'
import { filesBelow, textOf } from './sources.ts'

/** Where a real value may be taken out of its wrapper. A new place is a decision: read it twice, then add it here. */
const exposing: Readonly<Record<string, number>> = {
  'src/admin/guard.ts': 1,
  'src/admin/runs.ts': 1,
  'src/ca/authority.ts': 1,
  'src/ca/files.ts': 1,
  'src/ca/leaf.ts': 1,
  'src/ca/rotate.ts': 1,
  'src/credentials/kinds/github-app.ts': 1,
  'src/credentials/oauth/oauth2-call.ts': 4,
  'src/credentials/swap/swap.ts': 1,
  'src/credentials/oauth/token-answer.ts': 1,
  'src/credentials/oauth/token-reply.ts': 1,
  'src/credentials/scrub/value-finder.ts': 1,
  'src/identity/api.ts': 1,
  'src/runs/table.ts': 1,
  'src/journey/identify.ts': 1,
  'src/journey/sign.ts': 1,
  'src/store/sealed-pair.ts': 2,
  'src/store/redis/client.ts': 1,
  'src/vault/identities.ts': 1,
  'src/vault/replica-state.ts': 1,
  'src/vault/leases/jwt.ts': 1,
  'src/vault/leases/leases.ts': 1,
  'src/vault/leases/seed.ts': 1,
  'src/vault/static-values.ts': 1,
  'src/vault/leases/token-call.ts': 1,
  'src/upstream/call.ts': 1,
  'src/vault/vault.ts': 2,
}

describe('a secret', () => {
  const value = randomBytes(24).toString('base64')
  const secret = new Secret('github', value)

  it('never prints, whatever prints it', () => {
    const held = { secret, list: [secret], map: new Map([['key', secret]]) }
    const printed = [
      String(secret),
      secret as unknown as string,
      JSON.stringify(held),
      format('%s %o %O %j %d', secret, secret, secret, secret, secret),
      inspect(held, { depth: 9, showHidden: true, getters: true }),
      inspect(new Error('broken', { cause: secret })),
      secret + '',
      Object.values(secret).join(),
      JSON.stringify(structuredClone(secret)),
    ].join('\n')
    expect(printed).not.toContain(value)
    expect(printed).toContain('[secret github]')
    expect(secret.expose()).toBe(value)
  })

  it('is exposed only where it is placed, compared or sealed', () => {
    const found = filesBelow('src', '.ts')
      .map((file) => [file, textOf(file).match(/\.expose\(\)/g)?.length ?? 0] as const)
      .filter(([file, count]) => count > 0 && !file.startsWith('src/cli/demo/'))
    expect(Object.fromEntries(found)).toEqual(exposing)
  })
})
