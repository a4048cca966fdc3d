import { generateKeyPairSync } from 'node:crypto'
import { parseHost, type Host } from '#base/host.ts'
import { createAuthority, openAuthority, type Authority } from '#ca/authority.ts'
import { issueLeaf } from '#ca/leaf.ts'
import type { Der } from '#ca/der.ts'
import { distinguishedName, issue, pem, subjectKey } from '#ca/x509.ts'

/** What a test server passes to `tls.createServer`. */
export interface TestLeaf {
  readonly certPem: string
  readonly keyPem: string
}

/** A root for test upstreams, which is never the proxy's own CA. */
export interface TestAuthority {
  /** Put this into `upstream.ca`, or into a client's bundle. */
  readonly certPem: string
  readonly authority: Authority
  /** A fresh certificate for these names, valid for a day. */
  leaf(...hosts: readonly [string, ...string[]]): TestLeaf
  /** One whose subject's common name is this, with these extensions and no others. */
  namedByCommonName(name: string, extensions?: readonly Der[]): TestLeaf
}

let shared: TestAuthority | undefined

/** One root per process, made when first asked for. */
export function testAuthority(): TestAuthority {
  shared ??= makeTestAuthority('Upstream test root')
  return shared
}

/** A root of its own, for tests about trust between two. */
export function makeTestAuthority(commonName: string): TestAuthority {
  const now = Date.now()
  const made = createAuthority({ commonName, days: 30, now })
  const authority = openAuthority({ ...made, now })
  return {
    certPem: made.certPem,
    authority,
    leaf(first, ...rest) {
      const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
      const hosts = [named(first), ...rest.map(named)] as const
      const { certPem } = issueLeaf(authority, { hosts, key: subjectKey(publicKey), now, lifetimeMs: 86_400_000 })
      return { certPem, keyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }) }
    },
    namedByCommonName(name, extensions = []) {
      const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
      const certificate = issue({
        subject: distinguishedName(name),
        issuer: authority.subject,
        key: subjectKey(publicKey),
        signingKey: authority.key,
        notBefore: now - 60_000,
        notAfter: now + 86_400_000,
        extensions,
      })
      return { certPem: pem(certificate), keyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }) }
    },
  }
}

function named(text: string): Host {
  const host = parseHost(text)
  if (host === undefined) throw new Error(`${text} is not a host name`)
  return host
}
