import { type Host, matchesHost } from '#base/host.ts'
import { commonHeaders, commonParams, foldName } from './foreign.ts'
import type { Credential } from './types.ts'

/** The stubs of one snapshot, arranged so that a request costs the same with one credential and with a thousand. */
export interface StubIndex {
  /** More than one only where hosts or agents keep them apart. */
  readonly byStub: ReadonlyMap<string, readonly Credential[]>
  /** 1 where some stub has that length: most words are never cut out of the text. */
  readonly lengths: Uint8Array
  /** Folded names of headers that carry credentials. */
  readonly headers: ReadonlySet<string>
  /** Lower-case names of query parameters that carry credentials. */
  readonly params: ReadonlySet<string>
  readonly byHost: ReadonlyMap<string, readonly Credential[]>
  readonly byZone: ReadonlyMap<string, readonly Credential[]>
}

/** Arranges all credentials of a snapshot. Made once per snapshot. */
export function indexStubs(credentials: Iterable<Credential>): StubIndex {
  const byStub = new Map<string, Credential[]>()
  const byHost = new Map<string, Credential[]>()
  const byZone = new Map<string, Credential[]>()
  const headers = new Set(commonHeaders)
  const params = new Set(commonParams)
  for (const credential of credentials) {
    for (const stub of credential.stubs) append(byStub, stub, credential)
    for (const pattern of credential.hosts) {
      if (pattern.kind === 'exact') append(byHost, pattern.host, credential)
      else append(byZone, pattern.zone, credential)
    }
    for (const name of credential.placer.headers) headers.add(foldName(name))
    for (const name of credential.placer.params) params.add(name.toLowerCase())
  }
  return { byStub, lengths: lengthsOf(byStub.keys()), headers, params, byHost, byZone }
}

/** The index as one sees it who holds these stubs and none of the others: those are known, and nobody's. */
export function stubsOfOne(index: StubIndex, own: Iterable<Credential>): StubIndex {
  const byStub = new Map([...index.byStub].map(([stub, holders]) => [stub, holders.map(forNobody)]))
  for (const credential of own) byStub.set(credential.stubs[0] ?? '', [credential])
  return { ...index, byStub, lengths: lengthsOf(byStub.keys()) }
}

/** The index with stubs in it that stand in no policy, and are nobody's here. */
export function withStubsOfOthers(index: StubIndex, others: Iterable<Credential>): StubIndex {
  const byStub = new Map(index.byStub)
  for (const credential of others) byStub.set(credential.stubs[0] ?? '', [forNobody(credential)])
  return { ...index, byStub, lengths: lengthsOf(byStub.keys()) }
}

function forNobody(credential: Credential): Credential {
  return { ...credential, agents: nobody }
}

const nobody: ReadonlySet<string> = new Set()

function lengthsOf(stubs: Iterable<string>): Uint8Array {
  const all = new Set(Array.from(stubs, ({ length }) => length))
  return Uint8Array.from({ length: Math.max(0, ...all) + 1 }, (_, length) => (all.has(length) ? 1 : 0))
}

function append(map: Map<string, Credential[]>, key: string, credential: Credential): void {
  const list = map.get(key)
  if (!list) map.set(key, [credential])
  else if (!list.includes(credential)) list.push(credential)
}

/** Every credential scoped to a host, whoever may use it. */
export function scopedTo(index: StubIndex, host: string): readonly Credential[] {
  let found = index.byHost.get(host) ?? none
  if (index.byZone.size === 0) return found
  for (let dot = host.indexOf('.'); dot >= 0; dot = host.indexOf('.', dot + 1)) {
    const below = index.byZone.get(host.slice(dot + 1))
    if (below) found = [...found, ...below]
  }
  return found
}

const none: readonly never[] = []

/**
 * The stubs that stand in a text as whole words: between characters that a stub cannot have. A stub within a longer
 * word is not that stub.
 */
export function stubsIn(index: StubIndex, text: string): readonly string[] {
  let found: string[] | undefined
  let start = 0
  for (let i = 0; i <= text.length; i += 1) {
    if (i < text.length && wordCharacter[text.charCodeAt(i)] === 1) continue
    if (index.lengths[i - start] === 1) {
      const word = text.slice(start, i)
      if (index.byStub.has(word)) (found ??= []).push(word)
    }
    start = i + 1
  }
  return found ?? none
}

/** Whether a text as a whole is a stub. */
export function isStub(index: StubIndex, text: string): boolean {
  return index.lengths[text.length] === 1 && index.byStub.has(text)
}

// The characters of `stubField`.
const wordCharacter = Uint8Array.from({ length: 128 }, (_, code) => (/[A-Za-z0-9._~-]/.test(String.fromCharCode(code)) ? 1 : 0))

/** Whether a credential is scoped to a host. */
export function covers(credential: Credential, host: Host): boolean {
  return credential.hosts.some((pattern) => matchesHost(pattern, host))
}
