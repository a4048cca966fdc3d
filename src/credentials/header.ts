import { z } from 'zod'
import { secretRefField } from '#base/fields.ts'
import { foldName } from '#base/header-name.ts'
import { misleadsHost } from '#base/misleading-header.ts'
import { commonFields, credentialKind, stubField } from './fields.ts'

// Headers that say where a message goes and where it ends are written by the proxy and by no one else.
const reserved = new Set(
  (
    'connection content-encoding content-length expect host http2-settings keep-alive proxy-authenticate ' +
    'proxy-authorization proxy-connection te trailer transfer-encoding upgrade via'
  ).split(' '),
)

/** Any one header whose whole value is `format` with the stub in it. */
export const header = credentialKind({
  kind: 'header',
  schema: z.strictObject({
    kind: z.literal('header'),
    header: z
      .string()
      .toLowerCase()
      .regex(/^[!#$%&'*+.^_`|~0-9a-z-]+$/, { error: 'this is not a header name (RFC 9110 section 5.1)' })
      .refine((name) => !reserved.has(foldName(name)), {
        error: 'this header is written by the proxy; name the header that carries the credential',
      })
      .refine((name) => !misleadsHost(foldName(name)), {
        error:
          'the proxy removes this header, which could change the method, URL or client that a host sees; name another header',
      })
      .meta({ description: 'The header the stub arrives in; case does not matter' }),
    format: z
      .string()
      .regex(/^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/, { error: 'a format is printable ASCII with no space at its ends' })
      .refine((format) => format.split('{}').length === 2, { error: 'write "{}" once, where the value goes' })
      .refine((format) => !/[A-Za-z0-9._~-]\{\}|\{\}[A-Za-z0-9._~-]/.test(format), {
        error: 'put a space or a mark such as "=" between "{}" and the text around it, so that the stub stands alone',
      })
      .default('{}')
      .meta({ description: 'What the whole header reads, with "{}" where the value goes' }),
    stub: stubField,
    secret: secretRefField,
    ...commonFields,
  }),
  stubs: (config) => [config.stub],
  secret: (config) => config.secret,
  placer(config) {
    const [before = '', after = ''] = config.format.split('{}')
    const expected = before + config.stub + after
    return {
      headers: [config.header],
      params: [],
      header: (_name, value, real) => (value === expected ? before + real() + after : undefined),
    }
  },
})
