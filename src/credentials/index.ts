/** The registry of credential kinds: one file, one line here, one test file. */
import { z } from 'zod'
import { awsSigv4 } from './kinds/aws-sigv4.ts'
import { basic } from './kinds/basic.ts'
import { bearer } from './kinds/bearer.ts'
import { body } from './kinds/body.ts'
import { githubApp } from './kinds/github-app.ts'
import { header } from './kinds/header.ts'
import { oauth2 } from './kinds/oauth2.ts'
import { query } from './kinds/query.ts'
import type { Credential, CredentialKind } from './types.ts'
import { whoamiOf } from './whoami/index.ts'

export const credentialKinds = [bearer, basic, header, query, oauth2, githubApp, awsSigv4, body] as const

type Schemas<Rows extends readonly CredentialKind[]> = { -readonly [Index in keyof Rows]: Rows[Index]['schema'] }

/** One entry under `credentials` in a policy; `kind` says which fields it has. */
export const credentialSchema = z.discriminatedUnion(
  'kind',
  credentialKinds.map((row) => row.schema) as unknown as Schemas<typeof credentialKinds>,
)

export type CredentialConfig = z.output<typeof credentialSchema>

/** Makes a credential of a parsed entry. */
export function compileCredential(id: string, config: CredentialConfig): Credential {
  const row: CredentialKind | undefined = credentialKinds.find((each) => each.kind === config.kind)
  if (!row) throw new Error(`no credential kind ${config.kind}`)
  const stubs = row.stubs(config)
  const placer = row.placer(config)
  return {
    id,
    kind: row.kind,
    hosts: config.hosts,
    agents: config.agents && new Set(config.agents),
    stubs,
    foreign: config.foreign,
    secret: row.secret?.(config),
    companions: row.companions?.(config),
    lease: row.lease?.(config),
    placer,
    whoami: whoamiOf(config, placer, stubs[0], row.whoami),
    withStub: (stub) => compileCredential(id, (row.withStub?.(config, stub) ?? { ...config, stub }) as CredentialConfig),
  }
}
