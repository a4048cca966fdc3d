/** The least policy that lets through what was seen: rules by agent, host, method and path, each with how often and by whom. */
import type { Host } from '#base/host.ts'
import { generalise, compare } from './generalise.ts'
import type { SeenPath } from './generalise.ts'
import type { Seek, Spliced } from './traffic.ts'

/** A rule as it is proposed. */
export interface Proposed {
  readonly id: string
  /** How often each agent made the requests it covers. */
  readonly counts: ReadonlyMap<string, number>
  readonly host: Host
  /** `undefined`: the port that the scheme has. */
  readonly port: number | undefined
  readonly plain: boolean
  readonly inspect: boolean
  readonly methods: readonly string[] | undefined
  readonly paths: readonly SeenPath[] | undefined
  readonly git: { readonly fetch: readonly string[]; readonly push: readonly string[] } | undefined
  readonly credentials: readonly string[]
}

export interface LearnOptions {
  /** More patterns than this that differ in one segment alone become one. */
  readonly merge: number
  /** Whole hosts, without methods and paths. */
  readonly wholeHosts: boolean
  /**
   * `agent host` where every rule gives all credentials that were seen: patterns overlap there, and the first rule that
   * matches would keep a stub from the one that it is for.
   */
  readonly sharing?: ReadonlySet<string>
}

type Body = Omit<Proposed, 'id' | 'counts'>

/** Rules for requests, in the order of their hosts. The same requests give the same rules, in whatever order they came. */
export function propose(seeks: readonly Seek[], spliced: readonly Spliced[], options: LearnOptions): readonly Proposed[] {
  const bodies = [
    ...[...groupsOf(seeks)].flatMap(([agent, group]) => bodiesOf(group, options).map((body) => ({ agent, ...body }))),
    ...spliced.map(({ agent, host, port, count }) => ({
      agent,
      count,
      body: { host, ...placeOf('https', port), ...whole, inspect: false, credentials: [] },
    })),
  ]
  const joined = new Map<string, { readonly body: Body; readonly counts: Map<string, number> }>()
  for (const { agent, count, body } of bodies) {
    const key = keyOf(body)
    const known = joined.get(key)
    if (!known) joined.set(key, { body, counts: new Map([[agent, count]]) })
    else {
      known.counts.set(agent, count)
      joined.set(key, { ...known, body: { ...known.body, paths: added(known.body.paths, body.paths) } })
    }
  }
  const ids = new Set<string>()
  return [...joined]
    .toSorted(([one], [other]) => compare(one, other))
    .map(([, { body, counts }]) => ({
      ...body,
      counts: new Map([...counts].toSorted(([a], [b]) => compare(a, b))),
      id: idOf(body, ids),
    }))
}

const whole = { methods: undefined, paths: undefined, git: undefined }

/** Requests of one agent to one place. */
function* groupsOf(seeks: readonly Seek[]): Generator<readonly [string, readonly Seek[]]> {
  const groups = Map.groupBy(seeks, ({ agent, ask: { scheme, host, port }, git }) =>
    [agent, host, scheme, port, git ? 'git' : ''].join(' '),
  )
  for (const [, group] of groups) yield [group[0]?.agent ?? '', group]
}

interface Counted {
  readonly body: Body
  readonly count: number
}

function bodiesOf(group: readonly Seek[], { merge, wholeHosts, sharing }: LearnOptions): Counted[] {
  const [first] = group
  if (!first) return []
  const { ask, agent } = first
  const shared = wholeHosts || sharing?.has(`${agent} ${ask.host}`) ? credentialsOf(group) : undefined
  const place = { host: ask.host, ...placeOf(ask.scheme, ask.port), ...whole, inspect: true }
  if (wholeHosts && !first.git) return [{ body: { ...place, credentials: shared ?? [] }, count: sum(group) }]
  // A path that was written to and read has one rule; a path that was only read must not become one that is written to.
  const things = Map.groupBy(group, ({ git, segments }) => git?.repository ?? segments.join('/'))
  const kinds = Map.groupBy([...things.values()], (seeks) =>
    JSON.stringify([first.git ? [] : methodsOf(seeks), shared ?? credentialsOf(seeks)]),
  )
  return [...kinds.values()].map((of) => {
    const seeks = of.flat()
    const credentials = shared ?? credentialsOf(seeks)
    if (first.git) return { body: { ...place, git: scopesOf(seeks), credentials }, count: sum(seeks) }
    const seen = of.map((each) => ({ segments: each[0]?.segments ?? [], count: sum(each) }))
    return { body: { ...place, methods: methodsOf(seeks), paths: generalise(seen, merge), credentials }, count: sum(seeks) }
  })
}

function methodsOf(seeks: readonly Seek[]): readonly string[] {
  return [...new Set(seeks.map(({ ask }) => ask.method))].toSorted(compare)
}

function credentialsOf(seeks: readonly Seek[]): readonly string[] {
  return [...new Set(seeks.flatMap(({ credentials }) => credentials))].toSorted(compare)
}

function scopesOf(group: readonly Seek[]): NonNullable<Proposed['git']> {
  const of = (service: 'fetch' | 'push') =>
    [...new Set(group.flatMap(({ git }) => (git?.service === service ? [git.repository] : [])))].toSorted(compare)
  return { fetch: of('fetch'), push: of('push') }
}

function placeOf(scheme: 'http' | 'https', port: number): Pick<Body, 'plain' | 'port'> {
  // `plain` alone would open port 443 too.
  if (scheme === 'http') return { plain: true, port }
  return { plain: false, port: port === 443 ? undefined : port }
}

function sum(group: readonly { readonly count: number }[]): number {
  return group.reduce((total, { count }) => total + count, 0)
}

function added(one: Body['paths'], other: Body['paths']): Body['paths'] {
  return one?.map((path, index) => ({ ...path, count: path.count + (other?.[index]?.count ?? 0) }))
}

/** What two rules have in common that differ in their agents alone. */
function keyOf({ host, port, plain, inspect, methods, paths, git, credentials }: Body): string {
  const patterns = paths?.map(({ segments }) => segments.join('/'))
  return JSON.stringify([host, plain, port ?? 0, !inspect, git ?? 0, methods ?? 0, patterns ?? 0, credentials])
}

/** `api-github-com`, with the methods, and a number where two would be alike. Ids have 63 characters at most. */
function idOf({ host, methods, git, plain }: Body, taken: Set<string>): string {
  const words = [host.replaceAll(/[^a-z0-9]+/g, '-').replace(/^-/, ''), ...(git ? ['git'] : []), ...(plain ? ['plain'] : [])]
  const verbs = methods?.map((method) => method.toLowerCase()) ?? []
  const base = [...words, ...(verbs.length > 3 ? ['many'] : verbs)].join('-').slice(0, 58)
  let id = base
  for (let number = 2; taken.has(id); number += 1) id = `${base}-${number}`
  taken.add(id)
  return id
}
