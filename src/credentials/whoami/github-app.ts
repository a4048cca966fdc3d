import { asObject } from '../oauth/token-pair.ts'
import { apiPath, githubHeaders } from './github.ts'
import type { IdentityProvider, Need, WhoamiAnswer, WhoamiReply } from './types.ts'
import { nameIn, objectOf, told } from './words.ts'

/**
 * An installation of a GitHub App. Nobody has logged in, so what names it is the owner of its repositories. Its
 * permissions come with each token and not here.
 */
export const githubApp: IdentityProvider = {
  name: 'github-app',
  host: 'api.github.com',
  question: (host) => ({ path: `${apiPath(host)}/installation/repositories?per_page=1`, headers: githubHeaders }),
  read,
  includes,
  need,
}

function read(reply: WhoamiReply): WhoamiAnswer {
  const body = objectOf('GitHub', reply)
  if (typeof body === 'string') return { kind: 'unknown', reason: body }
  const { total_count: count, repositories } = body
  if (typeof count !== 'number' || !Array.isArray(repositories))
    return { kind: 'unknown', reason: 'GitHub answered without repositories' }
  const owner = nameIn(asObject(asObject(repositories[0])?.['owner'])?.['login'])
  return {
    kind: 'known',
    who: owner === undefined ? 'an installation' : `an installation of ${owner}`,
    about: told(`${count} ${count === 1 ? 'repository' : 'repositories'}`),
    scopes: undefined,
  }
}

const levels = ['read', 'write', 'admin']

/** `contents:write` includes `contents:read`. */
function includes(held: string, wanted: string): boolean {
  // GitHub adds it to every token.
  if (wanted === 'metadata:read') return true
  const [name, level] = partsOf(held)
  const [wantedName, wantedLevel] = partsOf(wanted)
  return name === wantedName && level >= wantedLevel
}

function partsOf(scope: string): readonly [string, number] {
  const colon = scope.lastIndexOf(':')
  return [scope.slice(0, colon), levels.indexOf(scope.slice(colon + 1))]
}

/** Permissions that change who may do what, rather than what is in a repository. */
const administrative = /^(?:administration|members|secrets|environments|organization_\w+|repository_hooks):/

function need(scope: string): Need {
  const [, level] = partsOf(scope)
  if (level < levels.indexOf('write')) return 'reads'
  return level === levels.indexOf('admin') || administrative.test(scope) ? 'all' : 'writes'
}
