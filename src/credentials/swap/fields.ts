/** What the kinds of credentials have in common in the policy. */
import { z } from 'zod'
import { hostPatternField, idField } from '#base/fields.ts'
import type { CredentialKind } from '../types.ts'
import { whoamiField } from '../whoami/index.ts'

/** Fields that every kind has besides its own. */
export const commonFields = {
  hosts: z
    .array(hostPatternField)
    .min(1)
    .meta({ description: 'Hosts this credential is scoped to; its stub is refused anywhere else' }),
  agents: z.array(idField).min(1).optional().meta({ description: 'Agents that may use it; default: every agent' }),
  foreign: z
    .enum(['refuse', 'allow'])
    .default('refuse')
    .meta({ description: 'Whether a credential that is not a stub may be sent to these hosts' }),
  whoami: whoamiField,
}

/**
 * A stub: made of the characters no encoding touches (RFC 3986 section 2.3), so that it reads the same in a header, a
 * URL and JSON, and long enough not to be an ordinary word of a User-Agent. Clients that check a token's form may want a
 * colon within it, as Telegram's have; URL encoders write it `%3A`, which is understood.
 */
export const stubField = z
  .string()
  .regex(/^[A-Za-z0-9._~-][A-Za-z0-9._~:-]{6,4094}[A-Za-z0-9._~-]$/, {
    error: 'a stub is 8 to 4096 letters, digits, ".", "_", "~" or "-", and ":" between them; for example "proxy-token-github"',
  })
  .meta({ description: 'What agents hold in place of the real value; worthless anywhere else' })

/** Keeps the type of a kind's schema while its row is checked. */
export function credentialKind<Schema extends z.ZodObject>(row: CredentialKind<Schema>): CredentialKind<Schema> {
  return row
}
