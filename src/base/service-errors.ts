import { type ErrorRow, policyHint, row } from './error-row.ts'

/** Faults of a host, of the proxy, and of a connection that ends before a request can be read. */
export const serviceErrors = {
  // The host.
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
  // The proxy.
  reply_overloaded: row(
    503,
    'connection_limit_reached',
    'proxy',
    'there is no memory left for one more reply of this agent',
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
  // Seen in the audit only: the connection closes before a request can be read.
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
