import { z } from 'zod'
import { secretRefField } from '#base/fields.ts'
import { bearerPlacer } from './bearer.ts'
import { commonFields, credentialKind, stubField } from './fields.ts'

/** Installation tokens of a GitHub App. Not active yet: its stub is guarded and nothing is placed for it. */
export const githubApp = credentialKind({
  kind: 'github-app',
  active: false,
  schema: z.strictObject({
    kind: z.literal('github-app'),
    stub: stubField,
    appId: z.int().positive(),
    installationId: z.int().positive(),
    privateKey: secretRefField.meta({ description: 'The private key of the App, PEM' }),
    repositories: z
      .array(z.string().regex(/^[A-Za-z0-9._-]+$/, { error: 'name repositories without their owner' }))
      .min(1)
      .optional()
      .meta({ description: 'Tokens are narrowed to these repositories of the installation; default: all of them' }),
    permissions: z
      .record(z.string().regex(/^[a-z_]+$/), z.enum(['read', 'write', 'admin']))
      .optional()
      .meta({ description: 'Tokens are narrowed to these permissions; default: those of the App' }),
    ...commonFields,
  }),
  stubs: (config) => [config.stub],
  secret: () => undefined,
  placer: (config) => bearerPlacer(config.stub),
})
