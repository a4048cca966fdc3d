import { z } from 'zod'
import { secretRefField } from '#base/fields.ts'
import { readBasic, writeBasic } from '../swap/basic-auth.ts'
import { commonFields, credentialKind, stubField } from '../swap/fields.ts'
import type { Placer } from '../types.ts'

/** A token in Authorization: `Bearer STUB`, `token STUB`, or STUB as the username or the password of Basic (git). */
export const bearer = credentialKind({
  kind: 'bearer',
  schema: z.strictObject({ kind: z.literal('bearer'), stub: stubField, secret: secretRefField, ...commonFields }),
  stubs: (config) => [config.stub],
  secret: (config) => config.secret,
  placer: (config) => bearerPlacer(config.stub),
})

/** Places a token in Authorization the ways bearer tokens are sent. The scheme is kept as it was sent. */
export function bearerPlacer(stub: string): Placer {
  return {
    headers: ['authorization'],
    params: [],
    sample: (name) => (name === 'authorization' ? `Bearer ${stub}` : undefined),
    header(_name, value, real) {
      const space = value.indexOf(' ')
      const scheme = value.slice(0, Math.max(space, 0))
      // `token` is what gh and older GitHub clients send.
      if (/^(?:bearer|token)$/i.test(scheme)) {
        return value.slice(space + 1) === stub ? `${scheme} ${real()}` : undefined
      }
      const basic = readBasic(value)
      if (basic === undefined || basic === 'malformed') return undefined
      // `STUB:x-oauth-basic` and `x-access-token:STUB` are both in use; a stub on both sides is neither.
      if ((basic.user === stub) === (basic.password === stub)) return undefined
      return writeBasic(basic.user === stub ? { ...basic, user: real() } : { ...basic, password: real() })
    },
  }
}
