import { X509Certificate } from 'node:crypto'
import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads'
import { expect, it } from 'vitest'
import type { Host } from '#base/host.ts'
import { createAuthority, openAuthority } from '#ca/authority.ts'
import { authorityOfImage, imageOfAuthority } from '#ca/authority-replica.ts'
import type { AuthorityImage } from '#ca/authority-replica.ts'
import { issueLeaf, newLeafKey } from '#ca/leaf.ts'
import { subjectKey } from '#ca/x509.ts'

it('an authority that crossed to another thread signs what the first one’s certificate vouches for', () => {
  const now = Date.now()
  const authority = openAuthority({ ...createAuthority({ commonName: 'test root', days: 1, now }), now })
  const { port1, port2 } = new MessageChannel()
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
  port1.postMessage(imageOfAuthority(authority))
  const image = (receiveMessageOnPort(port2) as { readonly message: AuthorityImage }).message
  port1.close()
  const order = { hosts: ['one.test' as Host], key: subjectKey(newLeafKey().publicKey), now, lifetimeMs: 3_600_000 } as const
  const leaf = new X509Certificate(issueLeaf(authorityOfImage(image), order).certPem)
  const root = new X509Certificate(authority.certPem)
  expect(leaf.verify(root.publicKey)).toBe(true)
  expect(leaf.checkIssued(root)).toBe(true)
  expect(leaf.issuer).toBe(root.subject)
})
