/** Heads of the audit's chain, signed with Ed25519: one line each in `FILE.heads`. Who cannot read the key cannot make one. */
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, sign, verify } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { appendFile, mkdir, open, readFile, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { openToOthers } from '#base/file-mode.ts'
import type { Link } from './chain.ts'

/** Why a head was signed: so many lines or seconds, a process that starts or stops, or a file that ends. */
export type HeadReason = 'count' | 'time' | 'start' | 'stop' | 'rotate'

export interface Head extends Link {
  /** ISO 8601, UTC. */
  readonly time: string
  readonly reason: HeadReason
  /** Most lines that may follow before the next head. */
  readonly every: number
  /** Of the public key: the first 16 characters of its SHA-256. */
  readonly key: string
  readonly signature: string
}

/** Where the heads of an audit file are. */
export function headsFile(file: string): string {
  return `${file}.heads`
}

export function signHead(key: KeyObject, head: Omit<Head, 'key' | 'signature'>): Head {
  const named = { ...head, key: fingerprint(key) }
  return { ...named, signature: sign(null, signedText(named), key).toString('base64url') }
}

export function isSigned(key: KeyObject, head: Head): boolean {
  return verify(null, signedText(head), key, Buffer.from(head.signature, 'base64url'))
}

function signedText({ seq, chain, time, reason, every, key }: Omit<Head, 'signature'>): Buffer {
  return Buffer.from(['iron-proxy audit head', seq, chain, time, reason, every, key].join('\n'))
}

/** What people compare keys by. */
export function fingerprint(key: KeyObject): string {
  const open = key.type === 'private' ? createPublicKey(key) : key
  return createHash('sha256')
    .update(open.export({ type: 'spki', format: 'der' }))
    .digest('hex')
    .slice(0, 16)
}

/**
 * The key in a file of PEM; a missing file is made with mode 0600. Throws where the file is open to others or holds no Ed25519 key, and
 * the system's error.
 */
export async function openSignKey(path: string, uid?: number): Promise<KeyObject> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const made = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' })
  await writeFile(path, made, { mode: 0o600, flag: 'wx', flush: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error
  })
  await using file = await open(path)
  const mode = openToOthers(await file.stat(), uid)
  if (mode !== undefined)
    throw new Error(`${path}: mode ${mode} lets others at the key that signs the audit; run \`chmod 600 ${path}\``)
  return parseKey(await file.readFile(), path, createPrivateKey)
}

/** The public half of a key in a file, which may hold either. Throws as `openSignKey`. */
export async function readPublicKey(path: string): Promise<KeyObject> {
  return parseKey(await readFile(path), path, createPublicKey)
}

function parseKey(pem: Buffer, path: string, parse: (pem: Buffer) => KeyObject): KeyObject {
  try {
    const key = parse(pem)
    if (key.asymmetricKeyType === 'ed25519') return key
  } catch {
    // Its message may quote what the file holds.
  }
  throw new Error(`${path}: holds no Ed25519 key in PEM; \`openssl genpkey -algorithm ed25519\` makes one`)
}

/** All heads of a file, oldest first; lines that are none come as `undefined`. No file: no heads. */
export async function readHeads(file: string): Promise<readonly (Head | undefined)[]> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return ''
    throw error
  })
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map(parsedHead)
}

function parsedHead(line: string): Head | undefined {
  try {
    const head = JSON.parse(line) as Head
    return Number.isSafeInteger(head.seq) && typeof head.chain === 'string' && typeof head.signature === 'string'
      ? head
      : undefined
  } catch {
    return undefined
  }
}

export async function addHead(file: string, head: Head): Promise<void> {
  await appendFile(file, `${JSON.stringify(head)}\n`, { mode: 0o600, flush: true })
}
