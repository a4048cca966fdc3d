import { randomBytes } from 'node:crypto'
import { type Host, parseHost } from '#base/host.ts'
import { Secret } from '#base/secret.ts'
import { compileCredential, credentialSchema } from '#credentials/index.ts'
import { indexStubs } from '#credentials/swap/stubs.ts'
import {
  findStubs,
  type FoundStubs,
  place,
  type PlacedValue,
  type SwapRefusal,
  type SwapAsk,
  type SwapHead,
} from '#credentials/swap/swap.ts'
import type { Credential, Grant } from '#credentials/types.ts'

/** A real value made for this run; the marks in it make every encoding of it differ from itself. */
export function canary(): string {
  return `${randomBytes(12).toString('base64url')}+/="${randomBytes(12).toString('base64url')}`
}

/** A credential as a policy entry makes it. */
export function credential(id: string, entry: Readonly<Record<string, unknown>>): Credential {
  return compileCredential(id, credentialSchema.parse(entry))
}

/** A bearer credential for `good.test`. */
export function bearerFor(id: string, stub: string, entry: Readonly<Record<string, unknown>> = {}): Credential {
  return credential(id, { kind: 'bearer', stub, secret: { env: 'TOKEN' }, hosts: ['good.test'], ...entry })
}

export function grantOf(granted: Credential, value: string): Grant {
  return { credential: granted, secret: new Secret(granted.id, value), generation: 1 }
}

export function host(name: string): Host {
  const parsed = parseHost(name)
  if (!parsed) throw new Error(`${name} is not a host`)
  return parsed
}

/** A request of agent `a` to `https://good.test/`, as far as it is not said otherwise. */
export interface Request {
  readonly all: readonly Credential[]
  /** Default: all of them. */
  readonly granted?: readonly Credential[]
  readonly agent?: string
  readonly foreign?: 'refuse' | 'allow'
  readonly grants?: boolean
  readonly head?: Partial<Omit<SwapHead, 'host'>> & { readonly host?: string }
}

export function ask(request: Request): SwapAsk {
  const { all, granted = all, agent = 'a', foreign = 'refuse', grants = true, head = {} } = request
  return {
    head: { scheme: 'https', path: '/', query: '', headers: [], ...head, host: host(head.host ?? 'good.test') },
    agent,
    credentials: granted,
    index: indexStubs(all),
    foreign,
    grants,
  }
}

export function find(request: Request): FoundStubs | SwapRefusal {
  return findStubs(ask(request))
}

/** The code of the refusal, or `swapped` or `passed`. */
export function outcome(request: Request): string {
  const found = find(request)
  if (found.kind === 'refused') return found.code
  return found.placements.length > 0 ? 'swapped' : 'passed'
}

/** Finds and places; every credential of the request has the value. */
export function swapped(request: Request, value: string): PlacedValue {
  const asked = ask(request)
  const found = findStubs(asked)
  if (found.kind === 'refused') throw new Error(`refused: ${found.code}: ${found.detail}`)
  return place(
    asked.head,
    found.placements,
    request.all.map((each) => grantOf(each, value)),
  )
}
