import { z } from 'zod'
import { secretRefField } from '#base/fields.ts'
import { foldName } from '#base/header-name.ts'
import { misleadsHost } from '#base/misleading-header.ts'
import { commonFields, credentialKind, stubField } from '../swap/fields.ts'

// Headers that say where a message goes and where it ends are written by the proxy and by no one else.
const reserved = new Set(
  (
    'connection content-encoding content-length expect host http2-settings keep-alive proxy-authenticate ' +
    'proxy-authorization proxy-connection te trailer transfer-encoding upgrade via'
  ).split(' '),
)

const nameField = z
  .string()
  .toLowerCase()
  .regex(/^[!#$%&'*+.^_`|~0-9a-z-]+$/, { error: 'this is not a header name (RFC 9110 section 5.1)' })
  .refine((name) => !reserved.has(foldName(name)), {
    error: 'this header is written by the proxy; name the header that carries the credential',
  })
  .refine((name) => !misleadsHost(foldName(name)), {
    error: 'the proxy removes this header, which could change the method, URL or client that a host sees; name another header',
  })
  .meta({ description: 'The header the stub arrives in; case does not matter' })

const formatField = z
  .string()
  .regex(/^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/, { error: 'a format is printable ASCII with no space at its ends' })
  .refine((format) => format.split('{}').length === 2, { error: 'write "{}" once, where the value goes' })
  .refine((format) => !/[A-Za-z0-9._~-]\{\}|\{\}[A-Za-z0-9._~-]/.test(format), {
    error: 'put a space or a mark such as "=" between "{}" and the text around it, so that the stub stands alone',
  })
  .optional()
  .meta({ description: 'What the whole header reads, with "{}" where the value goes; default "{}"' })

/** A header whose whole value is `format` with the stub in it, or one of several: clients of one API differ in which they send. */
export const header = credentialKind({
  kind: 'header',
  schema: z
    .strictObject({
      kind: z.literal('header'),
      header: nameField.optional(),
      format: formatField,
      headers: z
        .array(z.strictObject({ name: nameField, format: formatField }))
        .min(1)
        .refine((headers) => new Set(headers.map(({ name }) => foldName(name))).size === headers.length, {
          error: 'name each header once',
        })
        .optional()
        .meta({ description: 'In place of `header` and `format`: all places in which clients of this API send the credential' }),
      stub: stubField,
      secret: secretRefField,
      ...commonFields,
    })
    .refine(({ header: one, headers }) => (one === undefined) !== (headers === undefined), {
      path: ['headers'],
      error: 'write either `header`, or `headers` with a name and a format for each place',
    })
    .refine(({ format, headers }) => format === undefined || headers === undefined, {
      path: ['format'],
      error: 'write the format beside each name under `headers`',
    }),
  stubs: (config) => [config.stub],
  secret: (config) => config.secret,
  placer({ header: one, format, headers = one === undefined ? [] : [{ name: one, format }], stub }) {
    const places = new Map(headers.map((place) => [place.name, (place.format ?? '{}').split('{}')]))
    return {
      headers: [...places.keys()],
      params: [],
      sample: (name) => places.get(name)?.join(stub),
      header(name, value, real) {
        const [before = '', after = ''] = places.get(name) ?? []
        return value === before + stub + after ? before + real() + after : undefined
      },
    }
  },
})
