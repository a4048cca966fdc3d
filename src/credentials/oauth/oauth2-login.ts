/** How a person logs in: the link, and the exchange of the code it ends with (RFC 6749 section 4.1, RFC 7636). */
import type { z } from 'zod'
import type { LeaseLogin } from '../lease.ts'
import type { loginField } from './login-field.ts'
import { encodingOf } from './oauth2-call.ts'
import type { OAuth2Config } from './oauth2-schema.ts'
import { tokenCall } from './token-endpoint.ts'

type Places = NonNullable<z.output<typeof loginField>>

/** What Claude Code itself uses. */
const anthropic: Places = {
  authorize: 'https://claude.com/cai/oauth/authorize?code=true',
  redirect: 'https://platform.claude.com/oauth/code/callback',
}

const known: Readonly<Record<string, Places>> = { 'platform.claude.com': anthropic, 'console.anthropic.com': anthropic }

/** `undefined`: nobody can log in here by a link. */
export function loginOf(config: OAuth2Config): LeaseLogin | undefined {
  const { clientId, grantType, tokenEndpoint, scopes = [] } = config
  const places = config.login ?? known[tokenEndpoint.host]
  if (grantType !== 'refresh_token' || clientId === undefined || !places) return undefined
  return {
    url({ state, challenge }) {
      const url = new URL(places.authorize)
      const asked = { response_type: 'code', client_id: clientId, redirect_uri: places.redirect, scope: scopes.join(' '), state }
      for (const [name, value] of Object.entries({ ...asked, code_challenge: challenge, code_challenge_method: 'S256' })) {
        url.searchParams.set(name, value)
      }
      return url.href
    },
    exchange({ code, state, verifier }) {
      const shown = [
        ['grant_type', 'authorization_code'],
        ['code', code],
        ['state', state],
        ['redirect_uri', places.redirect],
        ['client_id', clientId],
        ['code_verifier', verifier],
      ] as const
      return tokenCall(tokenEndpoint.path, shown, encodingOf(config))
    },
  }
}
