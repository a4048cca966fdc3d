/** Whose a certificate is. */

/**
 * A peer's certificate without the common name of its subject. A host is named by subjectAltName alone (RFC 9525 section 6.3), and
 * Node's `checkServerIdentity` falls back to the common name where there is none: every connection that we open shows it this one.
 */
export function withoutCommonName<C extends { readonly subject: object }>(certificate: C): C {
  return { ...certificate, subject: { ...certificate.subject, CN: '' } }
}
