/** One path, two servers, two readings: what a rule says must hold in each of them. */
import { describe, expect, it } from 'vitest'
import { decide } from '#policy/decide.ts'
import type { Snapshot } from '#contracts/snapshot.ts'
import { agentOf, askOf, snapshotOf } from '../kit/policy.ts'

function judged(snapshot: Snapshot, line: string, agent = 'a'): string {
  const verdict = decide(snapshot.policy, agentOf(snapshot, agent), askOf(line))
  return verdict.kind === 'deny' ? `${verdict.code}: ${verdict.reason}` : `allow ${verdict.rule?.id}`
}

describe('a path with two readings', () => {
  const rules = `
rules:
  - {id: closed, effect: deny, hosts: [open.test], paths: [/adm/**, /o/a%2Fb, "/*/secret"]}
  - {id: no-push, effect: deny, hosts: [git.test], git: {push: [own/locked]}}
  - {id: open, hosts: [open.test, git.test]}
  - {id: all, hosts: [all.test], paths: [/**]}
  - {id: some, hosts: [some.test], paths: [/pub/*, /o/*/raw, /x/*, /x/*/*, /p/group%2Fname, "/m/a;v=1"]}
  - {id: own, hosts: [own.test], git: {fetch: [own/repo]}}`

  it.each([
    '/adm%2fx',
    '/adm%2Fx',
    '/ADM%2fx/y',
    '/%2fadm/x',
    '/%2f%2Fadm',
    '/adm;jsessionid=1/x',
    '/adm%3bx/y',
    '/;x/adm/y',
    '/adm;a%2Fb',
    '/adm%2F;x',
    '/a%2Fsecret',
    '/a%2Fsecret;x/',
    '/o%2Fa%2Fb',
  ])('is refused by a rule that refuses any of them: %s', async (path) => {
    expect(judged(await snapshotOf(rules), `GET https://open.test${path}`)).toMatch(/^rule_denied/)
  })

  it.each([
    ['POST', '/own%2Flocked/git-receive-pack'],
    ['POST', '/own/locked%2Fgit-receive-pack'],
    ['POST', '/own/locked;x/git-receive-pack'],
    ['GET', '/own/locked.git%2finfo/refs?service=git-receive-pack'],
  ])('is a push to a repository that a rule refuses: %s %s', async (method, path) => {
    expect(judged(await snapshotOf(rules), `${method} https://git.test${path}`)).toMatch(/^rule_denied/)
  })

  it.each([
    ['some.test', '/pub/a%2Fb'],
    ['some.test', '/pub/%2fadm/x'],
    ['some.test', '/pub%2Fx'],
    ['some.test', '/o/a%2Fb/raw'],
    ['some.test', '/o/;x/raw'],
    ['some.test', '/p/group/name'],
    ['some.test', '/m/a'],
    ['own.test', '/own%2Frepo/info/refs?service=git-upload-pack'],
  ])('is not allowed where a rule allows one of them: %s%s', async (host, path) => {
    expect(judged(await snapshotOf(rules), `GET https://${host}${path}`)).toMatch(/^request_denied/)
  })

  it.each([
    'all.test/@scope%2fname',
    'all.test/projects/group%2Fname',
    'all.test/projects/group%2Fsub%2Fname/issues',
    'all.test/proxy/https:%2F%2Fa.test%2F',
    'all.test/a;v=1/b;w',
    'open.test/@scope%2fname',
    'open.test/a;adm/x',
    'open.test/x/adm%2Fy',
    'some.test/pub/a;v=1',
    'some.test/x/a%2Fb',
    'some.test/p/group%2Fname',
    'some.test/p/group%2fname',
    'some.test/m/a;v=1',
  ])('is allowed where all of them are: %s', async (target) => {
    expect(judged(await snapshotOf(rules), `GET https://${target}`)).toMatch(/^allow/)
  })

  it('is no way around the refusal of DNS over HTTPS', async () => {
    const snapshot = await snapshotOf(rules)
    for (const path of ['/x%2Fdns-query', '/dns-query;x', '/x%2fdns-query%2f', '/x;y%2Fdns-query']) {
      expect(judged(snapshot, `GET https://open.test${path}`), path).toMatch(/^dns_over_https/)
    }
  })
})

describe('a path that no rule can look at', () => {
  const rules = `
agents: {a: {from: [{cidr: 127.0.0.1}]}, b: {from: [{cidr: 127.0.0.2}]}, watched: {from: [{cidr: 127.0.0.3}], mode: report}}
credentials:
  s3: {kind: aws-sigv4, stub: AKIAIOSFODNN7EXAMPLE, accessKeyId: AKIAIOSFODNN7EXAMPL2, regions: [us-east-1], services: [s3], secret: {env: T}, hosts: ["*.amazonaws.com", minio.test]}
  key: {kind: bearer, stub: stub-of-key, secret: {env: T}, hosts: [api.test, mints.test]}
rules:
  - {id: no-delete, effect: deny, hosts: [files.test], agents: [b], methods: [DELETE], paths: [/keep/**]}
  - {id: files, hosts: [files.test]}
  - {id: everything, hosts: [everything.test], paths: [/**]}
  - {id: s3, hosts: ["*.amazonaws.com", minio.test], credentials: [s3]}
  - {id: api, hosts: [api.test], credentials: [key]}
  - {id: mints, hosts: [mints.test], credentials: [key], mints: allow}
  - {id: metered, hosts: [metered.test], meter: openai}
  - {id: narrow, hosts: [narrow.test], paths: [/a/**]}
  - {id: wide, hosts: [narrow.test]}
  - {id: git, hosts: [git.test], git: {fetch: ["*/*"]}}`
  const keys = ['/bucket/a//b', '/bucket//abs', '//abs', '/bucket/a\\b', '/bucket/a%5Cb', '/bucket/a%252Fb', '/b/k//', '/b/a///b']

  it.each(keys)('passes where no path changes the decision: %s', async (path) => {
    const snapshot = await snapshotOf(rules)
    for (const host of ['files.test', 'everything.test', 'bucket.s3.us-east-1.amazonaws.com', 'minio.test', 'mints.test']) {
      expect(judged(snapshot, `PUT https://${host}${path}`), host).toMatch(/^allow/)
    }
    expect(judged(snapshot, `GET https://files.test${path}`, 'b')).toBe('allow files')
  })

  it.each([
    ['a', 'GET https://narrow.test/a//b', 'bad_path: the path has an empty segment ("//"), and rule narrow looks at paths'],
    ['a', 'GET https://narrow.test/a%5Cb', 'bad_path: the path has a backslash, and rule narrow looks at paths'],
    ['a', 'GET https://git.test/o//n', 'bad_path: the path has an empty segment ("//"), and rule git looks at paths'],
    [
      'b',
      'DELETE https://files.test//keep/x',
      'bad_path: the path has an empty segment ("//"), and rule no-delete looks at paths',
    ],
    [
      'a',
      'GET https://api.test/a%252Fb',
      'bad_path: the path has a doubly escaped slash or backslash, and rule api gives a credential to paths that make no new secret only; see "mints: allow"',
    ],
    [
      'a',
      'POST https://metered.test/v1//responses',
      'bad_path: the path has an empty segment ("//"), and rule metered counts what its requests cost by their paths',
    ],
    ['a', 'GET https://files.test/a/../b', 'bad_path: the path has a dot segment'],
    ['a', 'GET https://nowhere.test//a', 'host_denied: no rule lets a reach nowhere.test'],
    ['a', 'GET https://files.test//dns-query', 'dns_over_https: DNS over HTTPS is refused unless a rule names its path'],
    ['a', 'GET https://files.test/x\\dns-query', 'dns_over_https: DNS over HTTPS is refused unless a rule names its path'],
    [
      'a',
      'PUT https://minio.test/minio//admin%5Cv3/add-service-account',
      'mints_secret: this would answer with AWS credentials, which no agent may hold',
    ],
  ])('%s, %s: %s', async (agent, line, expected) => {
    expect(judged(await snapshotOf(rules), line, agent)).toBe(expected)
  })

  it('passes in report mode without a credential, and says what it would have done', async () => {
    const snapshot = await snapshotOf(rules)
    const verdict = decide(snapshot.policy, agentOf(snapshot, 'watched'), askOf('GET https://narrow.test/a//b'))
    expect(verdict).toMatchObject({ kind: 'allow', rule: undefined, wouldDeny: { code: 'bad_path' } })
  })
})
