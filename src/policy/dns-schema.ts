/** What a policy may say about DNS. */
import { z } from 'zod'
import { parseAddress } from '#base/address.ts'
import { parseEndpoint } from '#base/endpoint.ts'
import { nonEmpty, parsedField } from '#base/fields.ts'
import { parseHost } from '#base/host.ts'

const hostField = parsedField(parseHost, 'a host name')
const resolverField = z.string().refine((text) => parseEndpoint(text) !== undefined, {
  error: (issue) => `${JSON.stringify(issue.input)} is not a resolver; write an address, or address:port`,
})

const recordSchema = z
  .strictObject({
    name: hostField.meta({ description: 'The name that is answered' }),
    type: z.enum(['A', 'AAAA', 'CNAME', 'TXT']).meta({ description: 'The type of the answer' }),
    value: z.string().min(1).max(255).meta({ description: 'An address for A and AAAA, a name for CNAME, plain ASCII for TXT' }),
  })
  .refine(fitsType, {
    path: ['value'],
    error: 'the value does not fit the type: A and AAAA take an address, CNAME a name, TXT plain ASCII',
  })

export const dnsSchema = z
  .strictObject({
    deny: z.enum(['sinkhole', 'refuse']).optional().meta({
      description:
        'An unreachable name: sinkhole answers with our address, so that the client reads a 403; refuse answers NXDOMAIN',
    }),
    forward: z
      .array(
        z.strictObject({
          zones: nonEmpty(hostField, 'name a zone').meta({ description: 'These names and all below them' }),
          to: nonEmpty(resolverField, 'name a resolver').meta({ description: 'Resolvers, asked in this order' }),
        }),
      )
      .default([])
      .meta({ description: 'Zones answered by other resolvers and reached directly by the agent' }),
    records: z.array(recordSchema).default([]).meta({ description: 'Fixed answers' }),
  })
  .meta({ description: 'Names that go around the proxy' })

export type DnsInput = z.output<typeof dnsSchema>

function fitsType({ type, value }: { type: 'A' | 'AAAA' | 'CNAME' | 'TXT'; value: string }): boolean {
  switch (type) {
    case 'A':
    case 'AAAA':
      return parseAddress(value) !== undefined && value.includes(':') === (type === 'AAAA')
    case 'CNAME':
      return parseHost(value) !== undefined
    case 'TXT':
      return /^[ -~]*$/.test(value)
    default:
      return type satisfies never
  }
}
