import type { Capabilities } from './capabilities.ts'

/** A rule as a policy file writes it. */
export type WrittenRule = Readonly<Record<string, unknown>> & { readonly id: string }

/** What the agent may reach, as rules of a policy; agents, credentials and budgets stand elsewhere in it. */
export function policyOf(capabilities: Capabilities): { readonly version: 1; readonly rules: readonly WrittenRule[] } {
  const { agent } = capabilities
  const rules = [...hostRules(capabilities), ...repositoryRules(capabilities), ...roomRules(capabilities)]
  return { version: 1, rules: rules.map(({ id, ...rule }) => ({ id: `${agent}-${id}`, agents: [agent], ...rule })) }
}

function hostRules({ hosts }: Capabilities): readonly WrittenRule[] {
  const plain = hosts.filter((place) => typeof place === 'string')
  const places = hosts.filter((place) => typeof place === 'object')
  return [
    // What says more comes first: of two rules for one host, the first decides.
    ...places.map(({ host, methods, paths, secrets, meter }, index) => ({
      id: `host-${index + 1}`,
      hosts: [host],
      ...(methods && { methods }),
      ...(paths && { paths }),
      ...(secrets && { credentials: secrets }),
      ...(meter !== undefined && { meter }),
    })),
    ...(plain.length > 0 ? [{ id: 'hosts', hosts: plain }] : []),
  ]
}

function repositoryRules({ repositories }: Capabilities): readonly WrittenRule[] {
  if (!repositories) return []
  const { host, api, secret, fetch, push } = repositories
  const credentials = secret === undefined ? {} : { credentials: [secret] }
  const git = { ...(fetch.length > 0 && { fetch }), ...(push.length > 0 && { push }) }
  const readable = [...new Set([...fetch, ...push])]
  return [
    { id: 'git', hosts: [host], git, ...credentials },
    ...(api === undefined
      ? []
      : [
          {
            id: 'api-read',
            hosts: [api],
            methods: ['GET', 'HEAD'],
            paths: ['/user', ...readable.map((repository) => `/repos/${repository}/**`)],
            ...credentials,
          },
        ]),
    ...(api === undefined || push.length === 0
      ? []
      : [
          {
            id: 'api-write',
            hosts: [api],
            methods: ['POST', 'PUT', 'PATCH', 'DELETE'],
            // What stands in a repository, and never the repository itself.
            paths: push.map((repository) => `/repos/${repository}/*/**`),
            ...credentials,
          },
        ]),
  ]
}

/** The Client-Server API of Matrix, version 3: a room is part of the path of whatever is said or read in it. */
function roomRules({ matrix }: Capabilities): readonly WrittenRule[] {
  if (!matrix) return []
  const { host, secret, rooms } = matrix
  const client = '/_matrix/client/v3'
  const credentials = secret === undefined ? {} : { credentials: [secret] }
  const own = rooms.flatMap((room) => {
    const name = encodeURIComponent(room)
    return room.startsWith('!')
      ? [`${client}/rooms/${name}/**`, `${client}/join/${name}`]
      : [`${client}/join/${name}`, `${client}/directory/room/${name}`]
  })
  const session = ['sync', 'account/whoami', 'joined_rooms', 'user/*/filter/*'].map((path) => `${client}/${path}`)
  return [
    { id: 'rooms', hosts: [host], paths: own, ...credentials },
    { id: 'matrix-session', hosts: [host], methods: ['GET'], paths: ['/_matrix/client/versions', ...session], ...credentials },
    { id: 'matrix-filter', hosts: [host], methods: ['POST'], paths: [`${client}/user/*/filter`], ...credentials },
  ]
}
