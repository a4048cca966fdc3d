import { LruMap } from '#base/async.ts'
import { foldName } from '#base/header-name.ts'
import { type Host, matchesHost } from '#base/host.ts'
import { commonHeaders, commonParams } from './foreign.ts'
import type { Credential } from '../types.ts'

/** What tells most of a text from a stub before anything is cut out of it. */
interface Outlines {
  /** 1 where some stub has that length. */
  readonly lengths: Uint8Array
  /** Stubs with a colon, by what stands before it. */
  readonly withColon: ReadonlyMap<string, readonly string[]>
  /** 1 where some stub begins with three characters that `mixed` makes that number of. */
  readonly begins: Uint8Array
  /** Stubs by their first eight characters, the longest first. */
  readonly byBeginning: ReadonlyMap<string, readonly string[]>
}

/** The stubs of one snapshot, arranged so that a request costs the same with one credential and with a thousand. */
export interface StubIndex extends Outlines {
  /** More than one only where hosts or agents keep them apart. */
  readonly byStub: ReadonlyMap<string, readonly Credential[]>
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
  return { byStub, ...outline(byStub.keys()), headers, params, byHost, byZone }
}

/** The index as one sees it who holds these stubs and none of the others: those are known, and nobody's. */
export function stubsOfOne(index: StubIndex, own: Iterable<Credential>): StubIndex {
  const byStub = new Map([...index.byStub].map(([stub, holders]) => [stub, holders.map(forNobody)]))
  for (const credential of own) byStub.set(credential.stubs[0] ?? '', [credential])
  return { ...index, byStub, ...outline(byStub.keys()) }
}

/** The index with stubs in it that stand in no policy, and are nobody's here. */
export function withStubsOfOthers(index: StubIndex, others: Iterable<Credential>): StubIndex {
  const byStub = new Map(index.byStub)
  for (const credential of others) byStub.set(credential.stubs[0] ?? '', [forNobody(credential)])
  return { ...index, byStub, ...outline(byStub.keys()) }
}

function forNobody(credential: Credential): Credential {
  return { ...credential, agents: nobody }
}

const nobody: ReadonlySet<string> = new Set()

function outline(all: Iterable<string>): Outlines {
  const stubs = [...all].toSorted((one, other) => other.length - one.length)
  const lengths = new Uint8Array((stubs[0]?.length ?? 0) + 1)
  const begins = new Uint8Array(kinds)
  for (const stub of stubs) {
    lengths[stub.length] = 1
    begins[mixed(stub, 0)] = 1
  }
  return {
    lengths,
    begins,
    withColon: Map.groupBy(
      stubs.filter((stub) => stub.includes(':')),
      (stub) => stub.slice(0, stub.indexOf(':')),
    ),
    byBeginning: Map.groupBy(stubs, (stub) => stub.slice(0, shortest)),
  }
}

/** Characters of the shortest stub; see `stubField`. */
const shortest = 8

const kinds = 2048

/** Makes one number of the three characters at a place. */
function mixed(text: string, at: number): number {
  return (text.charCodeAt(at) + 31 * text.charCodeAt(at + 1) + 961 * text.charCodeAt(at + 2)) % kinds
}

function append(map: Map<string, Credential[]>, key: string, credential: Credential): void {
  const list = map.get(key)
  if (!list) map.set(key, [credential])
  else if (!list.includes(credential)) list.push(credential)
}

/** Every credential scoped to a host, whoever may use it. */
export function scopedTo(index: StubIndex, host: string): readonly Credential[] {
  const exact = index.byHost.get(host) ?? none
  if (index.byZone.size === 0) return exact
  let known = zones.get(index)
  if (!known) zones.set(index, (known = new LruMap(mostHosts)))
  let found = known.get(host)
  if (!found) known.set(host, (found = withZones(index, host, exact)))
  return found
}

/** What was found for a host: each of its zones is a look-up, and every request asks twice. */
const zones = new WeakMap<StubIndex, LruMap<string, readonly Credential[]>>()
const mostHosts = 1_000

function withZones(index: StubIndex, host: string, exact: readonly Credential[]): readonly Credential[] {
  let found = exact
  for (let dot = host.indexOf('.'); dot >= 0; dot = host.indexOf('.', dot + 1)) {
    const below = index.byZone.get(host.slice(dot + 1))
    if (below) found = [...found, ...below]
  }
  return found
}

const none: readonly never[] = []

/**
 * The stubs that stand in a text as whole words: between characters that a stub cannot have, or beside a colon, which stands
 * between user and password too. A stub within a longer word is not that stub.
 */
export function stubsIn(index: StubIndex, text: string): readonly string[] {
  const { length } = text
  const { lengths } = index
  if (length < shortest) return none
  let found: string[] | undefined
  let start = 0
  for (let i = 0; i <= length; i += 1) {
    const code = i < length ? text.charCodeAt(i) : 0
    if (isWordCharacter(code)) continue
    const longer = code === colon && index.withColon.size > 0 ? stubWithColon(index, text, start, i) : undefined
    if (longer !== undefined) {
      i = start + longer.length
      ;(found ??= []).push(longer)
    } else if (i - start < lengths.length && lengths[i - start] === 1) {
      const word = text.slice(start, i)
      if (index.byStub.has(word)) (found ??= []).push(word)
    }
    start = i + 1
  }
  return found ?? none
}

function stubWithColon(index: StubIndex, text: string, start: number, end: number): string | undefined {
  const stubs = index.withColon.get(text.slice(start, end))
  return stubs?.find((stub) => text.startsWith(stub, start) && !isWordCharacter(text.charCodeAt(start + stub.length)))
}

/**
 * The first stub in a path. Paths have no words: services put a token behind a prefix (Telegram's `/bot123:abc/getMe`) or in
 * front of an ending. So a stub may stand behind anything, and before all that could not make it longer.
 */
export function stubInPath(index: StubIndex, path: string): string | undefined {
  for (let at = 0; at + shortest <= path.length; at += 1) {
    if (index.begins[mixed(path, at)] !== 1) continue
    for (const stub of index.byBeginning.get(path.slice(at, at + shortest)) ?? none) {
      const after = path.charCodeAt(at + stub.length)
      if (path.startsWith(stub, at) && (!isWordCharacter(after) || after === dot)) return stub
    }
  }
  return undefined
}

const colon = 0x3a
const dot = 0x2e

/** Whether a text as a whole is a stub. */
export function isStub(index: StubIndex, text: string): boolean {
  return text.length < index.lengths.length && index.lengths[text.length] === 1 && index.byStub.has(text)
}

// The characters of `stubField`, but for the colon.
const wordCharacters = Uint8Array.from({ length: 128 }, (_, code) => (/[A-Za-z0-9._~-]/.test(String.fromCharCode(code)) ? 1 : 0))

// The bound is checked first: V8 gives up on fast code for a read past the end of an array.
function isWordCharacter(code: number): boolean {
  return code < 128 && wordCharacters[code] === 1
}

/** Whether a credential is scoped to a host. */
export function covers(credential: Credential, host: Host): boolean {
  return credential.hosts.some((pattern) => matchesHost(pattern, host))
}
