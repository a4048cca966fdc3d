import { z } from 'zod'
import { secretRefField } from '#base/fields.ts'
import { commonFields, credentialKind, stubField } from '../swap/fields.ts'

/** One query parameter whose whole decoded value is the stub. */
export const query = credentialKind({
  kind: 'query',
  schema: z.strictObject({
    kind: z.literal('query'),
    param: z.string().min(1).meta({ description: 'Name of the query parameter; case matters' }),
    stub: stubField,
    secret: secretRefField,
    ...commonFields,
  }),
  stubs: (config) => [config.stub],
  secret: (config) => config.secret,
  placer: (config) => ({
    headers: [],
    params: [config.param],
    param: (_name, value, real) => (value === config.stub ? real() : undefined),
  }),
})
