import { asObject } from '../oauth/token-pair.ts'
import type { IdentityProvider, WhoamiAnswer, WhoamiReply } from './types.ts'
import { nameIn, objectOf, told } from './words.ts'

/** A claude.ai login. Its scopes come with the grant. Claude Code 2 asks the same after each refresh. */
export const claude: IdentityProvider = {
  name: 'claude',
  host: 'api.anthropic.com',
  question: () => ({ path: '/api/oauth/profile', headers: ['accept', 'application/json'] }),
  read,
  includes: (held, wanted) => held === wanted,
  // `org:create_api_key` makes keys that outlive the login and that nobody here would know of.
  need: (scope) => (scope.startsWith('org:') ? 'nobody' : 'reads'),
}

function read(reply: WhoamiReply): WhoamiAnswer {
  const body = objectOf('Anthropic', reply)
  if (typeof body === 'string') return { kind: 'unknown', reason: body }
  const account = asObject(body['account'])
  const who = nameIn(account?.['email']) ?? nameIn(account?.['email_address']) ?? nameIn(account?.['uuid'])
  if (who === undefined) return { kind: 'unknown', reason: 'Anthropic answered without an account' }
  const organization = asObject(body['organization'])
  return {
    kind: 'known',
    who,
    about: told(organization?.['name'], organization?.['organization_type'], organization?.['rate_limit_tier']),
    scopes: undefined,
  }
}
