import { z } from 'zod'
import { secretRefField } from '#base/fields.ts'
import { bearerPlacer } from './bearer.ts'
import { commonFields, credentialKind, stubField } from './fields.ts'

/** A rotating OAuth grant that the proxy owns. Not active yet: its stubs are guarded and nothing is placed for them. */
export const oauth2 = credentialKind({
  kind: 'oauth2',
  active: false,
  schema: z.strictObject({
    kind: z.literal('oauth2'),
    stubs: z
      .strictObject({ access: stubField, refresh: stubField })
      .refine((stubs) => stubs.access !== stubs.refresh, { error: 'give the access and the refresh token different stubs' }),
    grant: secretRefField.optional().meta({ description: 'Seed: JSON with access_token, refresh_token, expires_at (seconds since the epoch)' }),
    tokenEndpoint: z.url({ protocol: /^https$/, error: 'name the token endpoint as an https URL' }),
    clientId: z.string().min(1),
    answers: z
      .array(z.string().regex(/^[^/:@\s]+\/\S*$/, { error: 'write host and path: "login.example.com/oauth/token"' }))
      .optional()
      .meta({ description: 'Token endpoints, host and path, whose calls by agents the proxy answers itself' }),
    scopes: z.array(z.string().min(1)).optional(),
    ...commonFields,
  }),
  stubs: (config) => [config.stubs.access, config.stubs.refresh],
  secret: () => undefined,
  placer: (config) => bearerPlacer(config.stubs.access),
})
