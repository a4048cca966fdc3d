/** Token endpoints as a policy names them, and calls to them as they go over the wire. */
import { z } from 'zod'
import { parseAuthority } from '#base/host.ts'
import { Secret } from '#base/secret.ts'
import type { TokenCall, TokenEndpoint } from '../lease.ts'

export type Encoding = 'form' | 'json'

/** `https://login.example.com/oauth/token`; a query is part of it (RFC 6749 section 3.2). */
export const tokenEndpointField = z
  .url({ protocol: /^https$/, error: 'name the token endpoint as an https URL' })
  .transform((text, context): TokenEndpoint => {
    const { host, pathname, search, hash, username, password } = new URL(text)
    const authority = parseAuthority(host)
    if (authority && hash === '' && username === '' && password === '') return endpoint(authority, pathname + search)
    context.addIssue({ code: 'custom', message: 'a token endpoint has a host name, no user name and no fragment' })
    return z.NEVER
  })

/** `login.example.com/oauth/token`, as agents call it: no query, no scheme. */
export const answeredEndpointField = z.string().transform((text, context): TokenEndpoint => {
  const slash = text.indexOf('/')
  const authority = parseAuthority(text.slice(0, Math.max(slash, 0)))
  if (authority && /^\/[\x21-\x7e]*$/.test(text.slice(slash)) && !/[?#]/.test(text)) return endpoint(authority, text.slice(slash))
  context.addIssue({ code: 'custom', message: 'write host and path: "login.example.com/oauth/token"' })
  return z.NEVER
})

function endpoint({ host, port = 443 }: NonNullable<ReturnType<typeof parseAuthority>>, path: string): TokenEndpoint {
  return { host, port, path }
}

/** The endpoint as a URL, the form in which an assertion names it as its audience (RFC 7523 section 3). */
export function endpointUrl({ host, port, path }: TokenEndpoint): string {
  return `https://${host}${port === 443 ? '' : `:${port}`}${path}`
}

/** A call with these parameters, in this order. `headers` come besides those that every token call carries. */
export function tokenCall(
  path: string,
  parameters: readonly (readonly [string, string])[],
  encoding: Encoding,
  headers: readonly string[] = [],
): TokenCall {
  const body = encoding === 'json' ? JSON.stringify(Object.fromEntries(parameters)) : formText(parameters)
  const type = encoding === 'json' ? 'application/json' : 'application/x-www-form-urlencoded'
  return {
    method: 'POST',
    path,
    headers: ['user-agent', 'iron-proxy', 'accept', 'application/json', 'content-type', type, ...headers],
    body: new Secret('token call', body),
  }
}

/** Client authentication by HTTP Basic; both halves are form-encoded first (RFC 6749 section 2.3.1). */
export function basicClient(id: string, secret: string): string {
  const [user, password] = [id, secret].map((text) => formText([['', text]]).slice(1))
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
}

function formText(parameters: readonly (readonly [string, string])[]): string {
  return new URLSearchParams(parameters.map(([name, value]) => [name, value])).toString()
}
