import type { WhoamiReply } from '#credentials/whoami/types.ts'

/** A reply to a question, with a JSON body or with a text as it is. Header names in lower case. */
export function whoamiReply(status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): WhoamiReply {
  return { status, header: (name) => headers[name], body: typeof body === 'string' ? body : JSON.stringify(body) }
}

/** What GitHub says of a user, in the fields that are looked at and a few that are not. */
export const octocat = { login: 'octocat', id: 583_231, node_id: 'MDQ6VXNlcjU4MzIzMQ==', type: 'User', name: 'The Octocat' }

/** What Anthropic says of a login. */
export const profile = {
  account: { uuid: '5f2f7f5e-0000-4000-8000-000000000001', email: 'ops@example.com', full_name: 'Ops', has_claude_max: true },
  organization: {
    uuid: '5f2f7f5e-0000-4000-8000-000000000002',
    name: 'Acme',
    organization_type: 'claude_max',
    rate_limit_tier: 'default_claude_max_20x',
  },
}
