import type { Authority } from './authority.ts'
import { encode, read } from './der.ts'

/** An authority as it crosses to another thread of this process, where a KeyObject stays one. */
export type AuthorityImage = Omit<Authority, 'subject' | 'keyId'> & {
  readonly subject: Uint8Array
  readonly keyId: Uint8Array
}

export function imageOfAuthority(authority: Authority): AuthorityImage {
  return { ...authority, subject: encode(authority.subject) }
}

export function authorityOfImage(image: AuthorityImage): Authority {
  return { ...image, subject: read(Buffer.from(image.subject)), keyId: Buffer.from(image.keyId) }
}
