/** Requests at the boundaries of rules: where two policies differ, one of these tells them apart. */
import { parseHost } from '#base/host.ts'
import type { Host } from '#base/host.ts'
import type { Ask, PathPattern, Policy, Rule } from '#policy/types.ts'
import { compare } from './generalise.ts'

/** Hosts that a rule names, and beside each one that it does not. */
export function hostsOf(policies: readonly Policy[]): readonly Host[] {
  const names = policies.flatMap(({ rules }) =>
    rules.flatMap(({ hosts }) =>
      hosts.flatMap((pattern) =>
        pattern.kind === 'exact'
          ? [pattern.host, `x.${pattern.host}`]
          : [`x.${pattern.zone}`, `y.x.${pattern.zone}`, pattern.zone],
      ),
    ),
  )
  return [...new Set(names.map((name) => parseHost(name)).filter((host) => host !== undefined))].toSorted(compare)
}

/** Requests to one host at every boundary of the rules that could match there. */
export function* asksOf(host: Host, rules: readonly Rule[]): Generator<Ask> {
  const methods = boundary(
    rules.map((rule) => rule.methods),
    ['GET', 'POST', 'DELETE', 'PATCH'],
  )
  const paths = [...new Set(['/', '/x', ...rules.flatMap(({ paths: patterns }) => (patterns ?? []).flatMap(pathsOf))])]
  const calls = [...methods.flatMap((method) => paths.map((path) => ({ method, path, query: '' }))), ...gitCalls(rules)]
  for (const { scheme, port } of placesOf(rules)) for (const call of calls) yield { scheme, host, port, ...call }
}

/** What the rules name, and the first usual word that none of them does. */
function boundary(named: readonly (ReadonlySet<string> | undefined)[], usual: readonly string[]): readonly string[] {
  const words = new Set(named.flatMap((each) => [...(each ?? [])]))
  const other = usual.find((each) => !words.has(each)) ?? 'OPTIONS'
  return [...new Set(['GET', ...words, other])].toSorted(compare)
}

function placesOf(rules: readonly Rule[]): readonly { readonly scheme: 'http' | 'https'; readonly port: number }[] {
  const ports = new Set([443, ...rules.flatMap((rule) => [...(rule.ports ?? [])])])
  const other = [8443, 9443, 10443].find((port) => !ports.has(port)) ?? 1
  return [
    ...[...ports, other].map((port) => ({ scheme: 'https', port }) as const),
    ...[...new Set([80, ...ports, other])].map((port) => ({ scheme: 'http', port }) as const),
  ]
}

/** Paths that a pattern covers, and paths just outside it. */
function pathsOf(pattern: PathPattern): string[] {
  const spell = (segments: readonly string[]) => `/${segments.join('/')}`
  const filled = (wild: readonly string[]) =>
    pattern.flatMap((segment) => (segment === '**' ? wild : segment === '*' ? ['x'] : [segment]))
  const covered = [filled([]), filled(['x']), filled(['x', 'y'])]
  const [shortest = []] = covered
  const outside = [
    [...shortest, 'x'],
    [...shortest, 'x', 'y'],
    shortest.slice(0, -1),
    ...shortest.map((_, at) => shortest.with(at, 'other')),
    // One that a wider pattern of the same shape would cover.
    ...(shortest.at(-1) === '' ? [shortest.slice(0, -1)] : [[...shortest, '']]),
  ]
  return [...covered, ...outside].map(spell)
}

function gitCalls(rules: readonly Rule[]): { readonly method: string; readonly path: string; readonly query: string }[] {
  const scopes = new Set(rules.flatMap(({ git }) => (git ? [...git.fetch, ...git.push] : [])))
  if (scopes.size === 0) return []
  const repositories = [...scopes].flatMap((scope) => {
    const parts = scope.split('/').map((part) => (part === '*' ? 'x' : part))
    return [parts, ...parts.map((_, at) => parts.with(at, 'other'))].map((each) => each.join('/'))
  })
  return [...new Set(repositories)].flatMap((repository) => [
    { method: 'GET', path: `/${repository}.git/info/refs`, query: '?service=git-upload-pack' },
    { method: 'POST', path: `/${repository}.git/git-upload-pack`, query: '' },
    { method: 'GET', path: `/${repository}.git/info/refs`, query: '?service=git-receive-pack' },
    { method: 'POST', path: `/${repository}.git/git-receive-pack`, query: '' },
    { method: 'POST', path: `/${repository}.git/info/lfs/objects/batch`, query: '' },
  ])
}
