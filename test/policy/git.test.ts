import { describe, expect, it } from 'vitest'
import { gitOperation, inGitScope, parseGitScope } from '#policy/git.ts'
import { judgePath } from '#policy/path.ts'

function operation(request: string) {
  const [, method = '', path = '', query = ''] = /^(\S+) ([^?]*)(\?.*)?$/.exec(request) ?? []
  const judged = judgePath(path)
  return 'refused' in judged ? undefined : gitOperation(method, judged.segments, query)
}

describe('git over HTTPS', () => {
  it.each([
    ['GET /owner/name.git/info/refs?service=git-upload-pack', 'owner/name', 'fetch'],
    ['GET /Owner/Name/info/refs?service=git-upload-pack', 'owner/name', 'fetch'],
    ['GET /owner/name.git/info/refs?service=git-receive-pack', 'owner/name', 'push'],
    ['POST /owner/name.git/git-upload-pack', 'owner/name', 'fetch'],
    ['POST /owner/name/git-receive-pack', 'owner/name', 'push'],
    ['POST /group/sub/name.git/git-upload-pack', 'group/sub/name', 'fetch'],
    ['POST /owner/name.git/info/lfs/objects/batch', 'owner/name', 'lfs'],
    ['GET /owner/name.git/info/lfs/locks?path=x', 'owner/name', 'lfs'],
    ['POST /owner/name.git/info/lfs/locks', 'owner/name', 'lfs'],
    ['POST /owner/name.git/info/lfs/locks/1/unlock', 'owner/name', 'lfs'],
  ])('%s is %s, %s', (request, repository, service) => {
    expect(operation(request)).toEqual({ repository, service })
  })

  it.each([
    'GET /owner/name',
    'GET /owner/name.git/info/refs',
    'GET /owner/name.git/info/refs?service=git-upload-archive',
    'GET /owner/name.git/info/refs?service=git-upload-pack&service=git-receive-pack',
    'GET /owner/name.git/info/refs?service=git-upload-pack&x=1',
    'GET /owner/name.git/info/refs?x=1&service=git-upload-pack',
    'GET /owner/name.git/info/refs?service=git-upload%2Dpack',
    'POST /owner/name.git/info/refs?service=git-upload-pack',
    'GET /owner/name.git/git-upload-pack',
    'POST /owner/name.git/git-upload-pack?service=git-receive-pack',
    'POST /name.git/git-upload-pack',
    'POST /git-upload-pack',
    'GET /owner/name.git/HEAD',
    'GET /owner/name.git/objects/info/packs',
    'DELETE /owner/name.git/info/lfs/locks/1',
    'POST /owner/name.git/info/lfs/objects/other',
    'POST /owner/*/git-upload-pack',
    'POST /own%2Fer/name/git-upload-pack',
  ])('%s is no git request', (request) => {
    expect(operation(request)).toBeUndefined()
  })

  it.each([
    ['*/*', 'owner/name', true],
    ['owner/*', 'owner/name', true],
    ['owner/*', 'other/name', false],
    ['Owner/Name.git', 'owner/name', true],
    ['owner/name', 'owner/name2', false],
    ['*/*', 'group/sub/name', false],
    ['group/*/*', 'group/sub/name', true],
  ])('scope %s on %s: %s', (scope, repository, expected) => {
    const fetch = [parseGitScope(scope) ?? 'none']
    expect(inGitScope({ fetch, push: [] }, { repository, service: 'fetch' })).toBe(expected)
    expect(inGitScope({ fetch, push: [] }, { repository, service: 'push' })).toBe(false)
  })

  it('asks both scopes for LFS, as only its body says which it is', () => {
    const asked = { repository: 'owner/name', service: 'lfs' } as const
    expect(inGitScope({ fetch: ['*/*'], push: [] }, asked)).toBe(false)
    expect(inGitScope({ fetch: [], push: ['*/*'] }, asked)).toBe(false)
    expect(inGitScope({ fetch: ['*/*'], push: ['owner/name'] }, asked)).toBe(true)
  })

  it.each(['name', 'owner/', '/name', 'owner//name', 'own*/name', 'owner/na me', ''])('%j is not a scope', (text) => {
    expect(parseGitScope(text)).toBeUndefined()
  })
})
