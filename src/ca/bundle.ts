import { rootCertificates } from 'node:tls'

const block = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g

/** The certificates in a PEM text and nothing else: a key that lies in the same file does not come along. */
export function certificatesIn(text: string): readonly string[] {
  return text.match(block) ?? []
}

/**
 * What an agent should trust, as one PEM file. Our CA comes first, since some clients read only the first certificate;
 * the public roots follow, since most variables that name a bundle replace the system's store and spliced hosts show
 * their own certificates. `only: 'ours'` leaves the public roots out.
 */
export function bundlePem(caPem: string, options: { readonly only?: 'ours' | undefined } = {}): string {
  const roots = options.only === 'ours' ? [] : rootCertificates
  return [...certificatesIn(caPem), ...roots].map((each) => `${each.trim()}\n`).join('')
}
