import { z } from 'zod'
import { asLatin1 } from '#base/bytes.ts'
import { secretRefField } from '#base/fields.ts'
import { hasControl, readBasic, writeBasic } from '../swap/basic-auth.ts'
import { commonFields, credentialKind, stubField } from '../swap/fields.ts'

/** A password in `Authorization: Basic`: the password is the stub and, where the policy names one, the username fits. */
export const basic = credentialKind({
  kind: 'basic',
  schema: z.strictObject({
    kind: z.literal('basic'),
    username: z
      .string()
      .regex(/^[^:]+$/, { error: 'a username is not empty and has no colon (RFC 7617)' })
      .refine((name) => !hasControl(name), { error: 'a username has no control character (RFC 7617)' })
      .optional()
      .meta({ description: 'Only with this username; default: any. It is never changed' }),
    stub: stubField,
    secret: secretRefField,
    ...commonFields,
  }),
  stubs: (config) => [config.stub],
  secret: (config) => config.secret,
  placer(config) {
    const username = config.username === undefined ? undefined : asLatin1(config.username)
    return {
      headers: ['authorization'],
      params: [],
      sample: (name) =>
        name === 'authorization' ? writeBasic({ scheme: 'Basic', user: username ?? 'agent', password: config.stub }) : undefined,
      header(_name, value, real) {
        const sent = readBasic(value)
        if (sent === undefined || sent === 'malformed' || sent.password !== config.stub) return undefined
        if (username !== undefined && sent.user !== username) return undefined
        return writeBasic({ ...sent, password: real() })
      },
    }
  },
})
