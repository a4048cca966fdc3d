import { asLatin1 } from '#base/bytes.ts'
import { type ErrorCode, ProxyError } from '#base/errors.ts'
import { foldName } from '#base/header-name.ts'
import type { Host } from '#base/host.ts'
import { hasControl, readBasic } from './basic-auth.ts'
import { decodePercent, encodePercent, readParams } from './query-string.ts'
import { covers, isStub, scopedTo, type StubIndex, stubInPath, stubsIn } from './stubs.ts'
import type { BodyPlacer, Credential, Grant, Swap } from '../types.ts'

/** What a swap needs of a request head. Headers are flat, one character a byte; the query has its question mark. */
export interface SwapHead {
  readonly scheme: 'http' | 'https'
  readonly host: Host
  readonly path: string
  readonly query: string
  readonly headers: readonly string[]
}

/** One request and what may be swapped in it. */
export interface SwapAsk {
  readonly head: SwapHead
  readonly agent: string
  /** Those of the deciding rule that are scoped to this host and this agent. */
  readonly credentials: readonly Credential[]
  /** All stubs of the snapshot, to know a misused one. */
  readonly index: StubIndex
  /** What the rule says about credentials that are not stubs. */
  readonly foreign: 'refuse' | 'allow'
  /** `false` in report mode: stubs are judged all the same, and nothing will be placed. */
  readonly grants: boolean
}

/** A stub that was found where it belongs. */
export type Placement =
  | { readonly kind: 'header'; readonly credential: Credential; readonly name: string; readonly at: number }
  | {
      readonly kind: 'query'
      readonly credential: Credential
      readonly name: string
      readonly start: number
      readonly end: number
    }

/** A stub that was found in a body. */
export interface BodyPlacement {
  readonly credential: Credential
  readonly body: BodyPlacer
  readonly start: number
  readonly end: number
}

export interface FoundStubs {
  readonly kind: 'found'
  readonly placements: readonly Placement[]
  /** Without grants: the first credential whose stub stands where it belongs. */
  readonly unused?: string | undefined
}

/** Why a request must not go out as it is. */
export interface SwapRefusal {
  readonly kind: 'refused'
  readonly code: ErrorCode
  /** The credential whose stub was misused. */
  readonly credential: string | undefined
  /** For people; names places, never values. */
  readonly detail: string
}

export interface PlacedValue {
  readonly headers: readonly string[]
  readonly query: string
  readonly swaps: readonly Swap[]
}

/**
 * Finds the stubs in a request head and says whether they, and everything else that looks like a credential, belong
 * there. For bodies see `findInBody`: a stub that no kind looks for in one stays a stub.
 */
export function findStubs(ask: SwapAsk): FoundStubs | SwapRefusal {
  const guarded = guards(ask)
  const placements: Placement[] = []
  const refused =
    searchHeaders(ask, guarded, placements) ??
    searchPath(ask) ??
    searchQuery(ask, guarded, placements) ??
    refuseRepeats(ask.head, placements)
  if (refused) return refused
  return ask.grants ? { kind: 'found', placements } : { kind: 'found', placements: [], unused: placements[0]?.credential.id }
}

/** What is looked for besides stubs: nothing on a host that no credential is scoped to. */
interface Guards {
  readonly malformed: boolean
  readonly foreign: boolean
}

function guards({ head, index, foreign: rule }: SwapAsk): Guards {
  const scoped = scopedTo(index, head.host).length > 0
  return { malformed: scoped, foreign: scoped && rule === 'refuse' }
}

function searchHeaders(ask: SwapAsk, guarded: Guards, placements: Placement[]): SwapRefusal | undefined {
  const { index, head } = ask
  for (let at = 1; at < head.headers.length; at += 2) {
    const sent = head.headers[at - 1] ?? ''
    const value = head.headers[at] ?? ''
    if (isStub(index, sent)) return misplaced(ask, sent, 'the name of a header')
    const folded = foldName(sent)
    // Said to this proxy and ends here.
    if (folded === 'proxy-authorization') continue
    const basic = folded === 'authorization' ? readBasic(value) : undefined
    const stubs = stubsInValue(index, value, basic)
    const [stub] = stubs
    if (stub !== undefined) {
      const credential = judge(ask, stub)
      if (isRefused(credential)) return credential
      const { placer } = credential
      const name = sent.toLowerCase()
      const fits = stubs.length === 1 && placer.headers.includes(name) && placer.header?.(name, value, nothing) !== undefined
      if (!fits) return misplaced(ask, stub, `the header ${name}`, placer.fault?.('header', value))
      placements.push({ kind: 'header', credential, name, at })
    } else if (value !== '' && index.headers.has(folded)) {
      if (guarded.malformed && basic === 'malformed') {
        return refuse(
          'bad_credential',
          undefined,
          `the header ${sent.toLowerCase()} holds Basic authentication that is not well-formed`,
        )
      }
      if (guarded.foreign) return foreign(`the header ${sent.toLowerCase()}`)
    }
  }
  return undefined
}

const nothing = (): string => ''

function stubsInValue(index: StubIndex, value: string, basic: ReturnType<typeof readBasic>): readonly string[] {
  if (typeof basic === 'object') {
    const inside = stubsIn(index, `${basic.user}:${basic.password}`)
    if (inside.length > 0) return inside
  }
  return stubsIn(index, value)
}

function searchPath(ask: SwapAsk): SwapRefusal | undefined {
  const { path } = ask.head
  const stub = stubInPath(ask.index, path) ?? (path.includes('%') ? stubInPath(ask.index, decodePercent(path)) : undefined)
  return stub === undefined ? undefined : misplaced(ask, stub, 'the path')
}

function searchQuery(ask: SwapAsk, guarded: Guards, placements: Placement[]): SwapRefusal | undefined {
  const { index, head } = ask
  if (head.query.length < 2) return undefined
  const strange: string[] = []
  for (const { name, value, start, end } of readParams(head.query)) {
    const [inName] = stubsIn(index, name)
    if (inName !== undefined) return misplaced(ask, inName, 'the query')
    const stubs = stubsIn(index, value)
    const [stub] = stubs
    if (stub !== undefined) {
      const credential = judge(ask, stub)
      if (isRefused(credential)) return credential
      const { placer } = credential
      const fits = stubs.length === 1 && placer.params.includes(name) && placer.param?.(name, value, nothing) !== undefined
      if (!fits) return misplaced(ask, stub, 'the query', placer.fault?.('query', value))
      placements.push({ kind: 'query', credential, name, start, end })
    } else if (guarded.foreign && value !== '' && index.params.has(name.toLowerCase())) {
      strange.push(name.toLowerCase())
    }
  }
  if (strange.length === 0) return undefined
  const discarded = new Set(placements.flatMap(({ credential }) => credential.placer.discards ?? []))
  return strange.every((name) => discarded.has(name)) ? undefined : foreign('the query')
}

/** Of a credential sent twice, the upstream may read either: which one would be up to it. */
function refuseRepeats(head: SwapHead, placements: readonly Placement[]): SwapRefusal | undefined {
  for (const placement of placements) {
    const { credential, name } = placement
    const repeated =
      placement.kind === 'header'
        ? isRepeated(head.headers, name)
        : readParams(head.query).filter((param) => param.name.toLowerCase() === name.toLowerCase()).length > 1
    if (repeated)
      return refuse('stub_misplaced', credential.id, `${placement.kind} ${name} with the stub of ${credential.id} is sent twice`)
  }
  return undefined
}

function isRepeated(headers: readonly string[], name: string): boolean {
  const folded = foldName(name)
  let seen = 0
  for (let at = 0; at < headers.length; at += 2) {
    const sent = headers[at] ?? ''
    // Folding changes no length, so most names need not be folded.
    if (sent.length === name.length && foldName(sent) === folded) seen += 1
  }
  return seen > 1
}

/** The credential that a stub means in this request, or why it means none. */
function judge(ask: SwapAsk, stub: string): Credential | SwapRefusal {
  const { head, agent } = ask
  const holders = ask.index.byStub.get(stub) ?? []
  const here = holders.filter((each) => covers(each, head.host))
  if (here.length === 0) return refuse('stub_wrong_host', holders[0]?.id, `the stub of ${holders[0]?.id} is not for ${head.host}`)
  const own = here.filter((each) => each.agents === undefined || each.agents.has(agent))
  const [credential] = own
  if (!credential) return refuse('stub_wrong_agent', here[0]?.id, `the stub of ${here[0]?.id} is not for ${agent}`)
  if (head.scheme === 'http')
    return refuse('stub_cleartext', credential.id, `the stub of ${credential.id} was sent over plain HTTP`)
  if (!ask.grants) return credential
  const granted = own.find((each) => ask.credentials.includes(each))
  return granted ?? refuse('stub_misplaced', credential.id, `the rule for this request does not give ${credential.id}`)
}

function misplaced(ask: SwapAsk, stub: string, place: string, fault?: string): SwapRefusal {
  const credential = judge(ask, stub)
  if (isRefused(credential)) return credential
  const detail = `${credential.id} does not use its stub as sent in ${place}`
  return refuse('stub_misplaced', credential.id, fault === undefined ? detail : `${detail}: ${fault}`)
}

function foreign(place: string): SwapRefusal {
  return refuse('foreign_credential', undefined, `${place} carries a credential that is not a stub`)
}

function refuse(code: ErrorCode, credential: string | undefined, detail: string): SwapRefusal {
  return { kind: 'refused', code, credential, detail }
}

function isRefused(judged: Credential | SwapRefusal): judged is SwapRefusal {
  return 'code' in judged
}

/**
 * Writes real values where `findStubs` found stubs. Everything else is the same byte for byte. Throws
 * `credential_unavailable` when a grant is missing or its value cannot stand in a request head.
 */
export function place(head: SwapHead, placements: readonly Placement[], grants: readonly Grant[]): PlacedValue {
  if (placements.length === 0) return { headers: head.headers, query: head.query, swaps: [] }
  const headers = [...head.headers]
  const edits: { readonly start: number; readonly end: number; readonly text: string }[] = []
  const swaps: Swap[] = []
  for (const placement of placements) {
    const { credential, name } = placement
    const real = valueOf(credential, grants)
    if (placement.kind === 'header') {
      const written = credential.placer.header?.(name, head.headers[placement.at] ?? '', () => asLatin1(real))
      headers[placement.at] = written ?? unplaceable(credential)
    } else {
      const { start, end } = placement
      const sent = readParams(head.query).find((param) => param.start === start)?.value ?? ''
      const written = credential.placer.param?.(name, sent, () => real)
      edits.push({ start, end, text: encodePercent(written ?? unplaceable(credential)) })
    }
    swaps.push({ credential: credential.id, place: `${placement.kind}:${name}` })
  }
  let query = head.query
  // From the back, so that the places in front stay where they were.
  for (const { start, end, text } of edits.toReversed()) query = query.slice(0, start) + text + query.slice(end)
  return { headers, query, swaps }
}

/** The body with real values where `findInBody` found stubs; everything else is the same byte for byte. Throws as `place` does. */
export function fill(
  bytes: Uint8Array,
  placements: readonly BodyPlacement[],
  grants: readonly Grant[],
): { readonly bytes: Uint8Array; readonly swaps: readonly Swap[] } {
  let text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
  // From the back, so that the places in front stay where they were.
  for (const { credential, body, start, end } of placements.toSorted((one, other) => other.start - one.start))
    text = text.slice(0, start) + body.write(valueOf(credential, grants)) + text.slice(end)
  return {
    bytes: Buffer.from(text, 'latin1'),
    swaps: placements.map(({ credential, body }) => ({ credential: credential.id, place: `body:${body.name}` as const })),
  }
}

function valueOf(credential: Credential, grants: readonly Grant[]): string {
  const real = grants.find((grant) => grant.credential.id === credential.id)?.secret.expose()
  if (!real) throw new ProxyError('credential_unavailable', `${credential.id} has no value`)
  // A line break would end the header and begin another.
  if (hasControl(real)) throw new ProxyError('credential_unavailable', `the value of ${credential.id} holds a control character`)
  return real
}

function unplaceable(credential: Credential): never {
  throw new ProxyError('credential_unavailable', `the stub of ${credential.id} is no longer where it was found`)
}

export type { StubIndex }
