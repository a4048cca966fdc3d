import { generateKeyPairSync } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseHost } from '#base/host.ts'
import { Secret } from '#base/secret.ts'
import type { Authority } from '#ca/authority.ts'
import { issueLeaf } from '#ca/leaf.ts'
import { authorityExtensions, distinguishedName, issue, pem, subjectKey } from '#ca/x509.ts'
import { run } from '../kit/clients.ts'

export interface Chain {
  readonly leafPem: string
  /** What a server sends after the leaf. */
  readonly chainPem: string
}

export function leafBelow(issuer: Authority, name: string, now: number): Chain {
  const host = parseHost(name)
  if (!host) throw new Error(name)
  const key = subjectKey(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey)
  return { leafPem: issueLeaf(issuer, { hosts: [host], key, now, lifetimeMs: 3_600_000 }).certPem, chainPem: issuer.chainPem }
}

/** Whether OpenSSL believes a chain with these roots and no others. */
export async function verified(
  { leafPem, chainPem }: Chain,
  roots: string,
  folder: string,
  more: readonly string[] = [],
): Promise<boolean> {
  const files = { leaf: join(folder, 'leaf.pem'), chain: join(folder, 'chain.pem'), roots: join(folder, 'roots.pem') }
  await writeFile(files.leaf, leafPem)
  await writeFile(files.chain, chainPem)
  await writeFile(files.roots, roots)
  const untrusted = chainPem === '' ? [] : ['-untrusted', files.chain]
  const done = await run('openssl', [
    'verify',
    '-no-CApath',
    '-no-CAstore',
    '-CAfile',
    files.roots,
    ...untrusted,
    ...more,
    files.leaf,
  ])
  return done.code === 0
}

/** A CA that signs leaves itself and may have none below it, as this product made them once. */
export function shallowAuthority(now: number): { readonly certPem: string; readonly keyPem: Secret } {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const subject = distinguishedName('Shallow CA')
  const key = subjectKey(publicKey)
  const extensions = authorityExtensions(key.id)
  const times = { notBefore: now - 3_600_000, notAfter: now + 30 * 86_400_000 }
  const certPem = pem(issue({ subject, issuer: subject, key, signingKey: privateKey, ...times, extensions }))
  return { certPem, keyPem: new Secret('CA key', privateKey.export({ type: 'pkcs8', format: 'pem' })) }
}
