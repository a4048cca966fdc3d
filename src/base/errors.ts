/**
 * The one table of what can go wrong on the way of a request. `status` is what the agent reads, `proxyStatus` the error
 * type of RFC 9209 section 2.3, `fault` says who has to act, `hint` what to do. README prints this table; a test keeps
 * the two alike.
 */
interface ErrorRow {
  readonly status: number
  readonly proxyStatus: string
  readonly fault: 'agent' | 'policy' | 'upstream' | 'proxy'
  readonly message: string
  readonly hint: string
}

const policyHint = 'ask the operator for a rule; `iron-proxy explain` shows how this request was decided'

export const errorTable = {
  // What arrived is not a request we can judge.
  malformed_request: row(
    400,
    'http_request_error',
    'agent',
    'the request is not well-formed HTTP',
    'send a request that keeps to RFC 9110 and RFC 9112',
  ),
  bad_host: row(
    400,
    'http_request_error',
    'agent',
    'the host is missing, repeated or not a plain DNS name',
    'name one host in ASCII letters, digits, dots and hyphens',
  ),
  bad_path: row(400, 'http_request_error', 'agent', 'the path cannot be judged', 'send the path without what the message names'),
  bad_header: row(400, 'http_request_error', 'agent', 'a header is not allowed', 'remove the header named in the message'),
  bad_framing: row(
    400,
    'http_request_error',
    'agent',
    'the message length is ambiguous',
    'send either one Content-Length or Transfer-Encoding: chunked',
  ),
  bad_credential: row(
    400,
    'http_request_error',
    'agent',
    'the credential cannot be read',
    'send the stub exactly as it was given',
  ),
  method_not_allowed: row(
    405,
    'http_request_denied',
    'agent',
    'the method is never forwarded',
    'use a standard method in upper case',
  ),
  request_timeout: row(
    408,
    'http_request_error',
    'agent',
    'the request did not arrive in time',
    'send the whole request head at once',
  ),
  expectation_failed: row(
    417,
    'http_request_error',
    'agent',
    'the expectation is not known',
    'send no Expect header but 100-continue',
  ),
  misdirected: row(
    421,
    'http_request_denied',
    'agent',
    'the connection was opened for another host',
    'open a connection of its own for each host',
  ),
  body_too_large: row(
    413,
    'http_request_error',
    'agent',
    'the request body is longer than what is read whole',
    'send less in one request',
  ),
  head_too_large: row(431, 'http_request_error', 'agent', 'the request head is too large', 'send fewer or shorter headers'),
  // Who is asking.
  agent_unknown: row(
    403,
    'http_request_denied',
    'policy',
    'no agent of the policy has this address',
    'ask the operator to add this address to an agent',
  ),
  agent_ambiguous: row(
    403,
    'http_request_denied',
    'policy',
    'more than one agent of the policy matches',
    'ask the operator to make the agents of the policy distinct',
  ),
  agent_masqueraded: row(
    403,
    'http_request_denied',
    'policy',
    'the source address is that of a node, which speaks for many',
    'ask the operator to keep pod addresses on the way to the proxy; a pod on the network of its node cannot be an agent',
  ),
  agent_pending: row(
    503,
    'proxy_configuration_error',
    'proxy',
    'the pods of the cluster are not known yet',
    'try again in a moment',
  ),
  run_pending: row(
    503,
    'proxy_configuration_error',
    'proxy',
    'the run is not known here while the state cannot be reached',
    'try again in a moment',
  ),
  proxy_auth_required: row(
    407,
    'http_request_denied',
    'agent',
    'the proxy needs a username and password of an agent',
    'put the agent’s username and password in the proxy URL',
  ),
  // May it.
  no_policy: row(503, 'proxy_configuration_error', 'policy', 'no policy is loaded', 'ask the operator to load a valid policy'),
  host_denied: row(403, 'http_request_denied', 'policy', 'no rule lets this agent reach this host', policyHint),
  port_denied: row(403, 'http_request_denied', 'policy', 'no rule lets this agent reach this port', policyHint),
  plain_denied: row(403, 'http_request_denied', 'policy', 'no rule allows plain HTTP to this host', 'use https'),
  request_denied: row(403, 'http_request_denied', 'policy', 'no rule allows this method and path on this host', policyHint),
  rule_denied: row(403, 'http_request_denied', 'policy', 'a rule refuses this request', policyHint),
  dns_over_https: row(
    403,
    'http_request_denied',
    'policy',
    'DNS over HTTPS would go around the proxy’s DNS',
    'use the system’s resolver',
  ),
  policy_changed: row(403, 'http_request_denied', 'policy', 'the policy no longer allows this stream', policyHint),
  budget_exhausted: row(
    402,
    'http_request_denied',
    'policy',
    'the budget of this agent is used up',
    'wait for the budget to reset, or ask the operator',
  ),
  budget_insufficient: row(
    402,
    'http_request_denied',
    'policy',
    'the request needs more than what is left of the budget',
    'send a shorter request, wait for the budget to reset, or ask the operator',
  ),
  budget_busy: row(
    503,
    'connection_limit_reached',
    'policy',
    'what is left of the budget is held for requests that still run',
    'try again when they are done',
  ),
  model_unpriced: row(
    403,
    'http_request_denied',
    'policy',
    'a budget limits money, and the price of the model is not known',
    'ask the operator to add the model under `prices`',
  ),
  unmetered: row(
    403,
    'http_request_denied',
    'policy',
    'what this request costs would not be told by its reply',
    'use a metered endpoint, or ask the operator for a rule with a `price`',
  ),
  upgrade_refused: row(
    426,
    'http_request_denied',
    'policy',
    'this WebSocket cannot be metered',
    'send the same as HTTPS requests',
  ),
  audit_unavailable: row(
    503,
    'proxy_internal_error',
    'proxy',
    'audit records cannot be written',
    'tell the operator; nothing passes without a record where `audit.whenFull` is `refuse`',
  ),
  ledger_unavailable: row(
    503,
    'proxy_internal_error',
    'proxy',
    'the ledger of the budgets cannot be written',
    'tell the operator; hosts without a meter are not affected',
  ),
  mints_secret: row(
    403,
    'http_request_denied',
    'policy',
    'the reply would hold a new secret',
    'ask the operator, who can say `mints: allow` in the rule',
  ),
  // With which credential.
  stub_wrong_host: row(
    403,
    'http_request_denied',
    'agent',
    'a stub was sent to a host its credential is not scoped to',
    'send the stub only to the hosts of its credential',
  ),
  stub_wrong_agent: row(
    403,
    'http_request_denied',
    'agent',
    'a stub of another agent was sent',
    'use the stubs given to this agent',
  ),
  stub_cleartext: row(403, 'http_request_denied', 'agent', 'a stub was sent over plain HTTP', 'use https'),
  stub_misplaced: row(
    403,
    'http_request_denied',
    'agent',
    'a stub was sent in a place its credential does not use',
    'send the stub where the service expects the credential',
  ),
  real_value_seen: row(
    403,
    'http_request_denied',
    'agent',
    'the request carries a real credential that agents must not hold',
    'remove it and use the stub; tell the operator, who should rotate it',
  ),
  foreign_credential: row(
    403,
    'http_request_denied',
    'agent',
    'the request carries a credential that is not a stub',
    'send the stub of this host’s credential, or no credential',
  ),
  credential_unavailable: row(
    503,
    'proxy_internal_error',
    'policy',
    'the real value behind the stub is not available',
    'ask the operator to check the credential’s source',
  ),
  needs_login: row(
    503,
    'proxy_internal_error',
    'policy',
    'the login behind the stub has ended',
    'log in: ask the operator to run `iron-proxy login` for this credential',
  ),
  token_call_refused: row(
    403,
    'http_request_denied',
    'agent',
    'a token endpoint was called with something that is not the stub',
    'send the stub; the proxy refreshes the real grant itself',
  ),
  // What the other side did.
  destination_denied: row(
    403,
    'destination_ip_prohibited',
    'policy',
    'the host resolves to an address that may not be dialled',
    'ask the operator; `upstream.allowPrivate` opens a private range',
  ),
  proxy_loop: row(
    403,
    'proxy_loop_detected',
    'policy',
    'the host resolves to the proxy itself',
    'ask the operator to check `upstream.hosts` and `upstream.resolver`',
  ),
  upstream_unresolved: row(502, 'dns_error', 'upstream', 'the host could not be resolved', 'check the name; try again later'),
  upstream_dns_timeout: row(504, 'dns_timeout', 'upstream', 'the resolver did not answer in time', 'try again later'),
  upstream_unreachable: row(502, 'connection_refused', 'upstream', 'the host could not be reached', 'try again later'),
  upstream_connect_timeout: row(
    504,
    'connection_timeout',
    'upstream',
    'the host did not accept a connection in time',
    'try again later',
  ),
  upstream_tls: row(
    502,
    'tls_certificate_error',
    'upstream',
    'the host’s certificate could not be verified',
    'ask the operator; `upstream.ca` adds a private root',
  ),
  upstream_reset: row(
    502,
    'connection_terminated',
    'upstream',
    'the host closed the connection before it answered',
    'try again later',
  ),
  upstream_protocol: row(
    502,
    'http_protocol_error',
    'upstream',
    'the host answered with something that is not valid HTTP',
    'try again later',
  ),
  upstream_timeout: row(504, 'http_response_timeout', 'upstream', 'the host did not answer in time', 'try again later'),
  reply_undecodable: row(
    502,
    'http_response_content_coding',
    'upstream',
    'the reply uses a coding that cannot be searched for real values',
    'ask for gzip, deflate, br, zstd or identity',
  ),
  // What we did.
  reply_overloaded: row(
    503,
    'connection_limit_reached',
    'proxy',
    'there is no memory left to decode one more reply of this agent',
    'read open replies to their end, or ask for gzip',
  ),
  overloaded: row(
    503,
    'connection_limit_reached',
    'proxy',
    'the proxy has reached a limit',
    'try again later with fewer connections',
  ),
  shutting_down: row(503, 'proxy_internal_response', 'proxy', 'the proxy is stopping', 'try again'),
  internal: row(500, 'proxy_internal_error', 'proxy', 'the proxy failed', 'tell the operator the request id'),
  // Told to no one but the audit: the connection is closed before a request could be read.
  tls_no_sni: row(0, 'tls_protocol_error', 'agent', 'the TLS client named no host', 'use a client that sends SNI'),
  tls_bad_sni: row(0, 'tls_protocol_error', 'agent', 'the TLS client named something that is not a host', 'use a plain DNS name'),
  tls_sni_mismatch: row(
    0,
    'tls_protocol_error',
    'agent',
    'the TLS client named another host than its CONNECT',
    'connect and greet with the same name',
  ),
  tls_not_tls: row(0, 'tls_protocol_error', 'agent', 'the bytes are not a TLS handshake', 'speak TLS on this port'),
  tls_handshake: row(
    0,
    'tls_protocol_error',
    'agent',
    'the TLS handshake failed',
    'trust the proxy’s CA; `iron-proxy env` prints how',
  ),
  tls_denied_flood: row(0, 'http_request_denied', 'agent', 'too many names that no rule allows', policyHint),
  dns_malformed: row(0, 'dns_error', 'agent', 'the DNS message is not well-formed', 'send one ordinary question'),
  client_closed: row(0, 'connection_terminated', 'agent', 'the agent went away before the reply was complete', 'nothing to do'),
} as const satisfies Record<string, ErrorRow>

export type ErrorCode = keyof typeof errorTable

/** Faults of the proxy or a host that last until somebody acts: a client that asks again only hides them. */
export const lasting: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'needs_login',
  'no_policy',
  'upstream_tls',
  'reply_undecodable',
])

/** Codes that leave no doubt: the connection a request would have gone over never came to be. */
export const unsent: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'destination_denied',
  'proxy_loop',
  'upstream_unresolved',
  'upstream_dns_timeout',
  'upstream_unreachable',
  'upstream_connect_timeout',
  'upstream_tls',
  'overloaded',
])

function row(status: number, proxyStatus: string, fault: ErrorRow['fault'], message: string, hint: string): ErrorRow {
  return { status, proxyStatus, fault, message, hint }
}

/** A fault with a stable code. Denials are values (`Denial`); this is for what breaks. Match on `code`, not on class. */
export class ProxyError extends Error {
  readonly code: ErrorCode

  constructor(code: ErrorCode, detail?: string, options?: ErrorOptions) {
    super(detail ?? errorTable[code].message, options)
    this.name = 'ProxyError'
    this.code = code
  }
}

/** The code of any thrown thing; what we did not foresee is `internal`. */
export function codeOf(error: unknown): ErrorCode {
  return error instanceof ProxyError ? error.code : 'internal'
}
