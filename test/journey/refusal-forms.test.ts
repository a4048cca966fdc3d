import { describe, expect, it } from 'vitest'
import { forms, reasonPhrase, writeRefusal } from '#journey/refusal-forms.ts'
import type { Asking, Explained } from '#journey/refusal-forms.ts'
import { hostOf } from '../kit/policy.ts'

const explained: Explained = {
  code: 'host_denied',
  message: 'no rule lets devbot reach <evil> & co',
  agent: 'devbot',
  rule: null,
  host: 'good.test',
  method: 'GET',
  path: '/x',
  request_id: 'id-7',
  hint: 'ask the operator for a rule',
}

function ask(path: string, headers: Readonly<Record<string, string>> = {}, host = 'good.test', query = ''): Asking {
  return { host: hostOf(host), path, query, headers: Object.entries(headers).flat() }
}

const agent = (name: string) => ({ 'User-Agent': name })
const accept = (type: string) => ({ accept: type })

/** What clients send, as they were seen to, and the form they show. */
const clients: readonly (readonly [string, string, Asking])[] = [
  ['git that clones', 'git', ask('/crew/app.git/info/refs', agent('git/2.47.1'), 'github.com', '?service=git-upload-pack')],
  ['git that pushes, under another name', 'git', ask('/crew/app.git/git-receive-pack', agent('mine'))],
  [
    'git-lfs',
    'git-lfs',
    ask('/crew/app.git/info/lfs/objects/batch', { ...agent('git-lfs/3.6.0'), ...accept('application/vnd.git-lfs+json') }),
  ],
  ['docker at the door', 'oci', ask('/v2/', agent('docker/27.3.1 go/go1.22.7'))],
  ['docker that pulls', 'oci', ask('/v2/library/alpine/manifests/3', accept('application/vnd.oci.image.index.v1+json'))],
  ['containerd', 'oci', ask('/v2/library/alpine/blobs/sha256:0', agent('containerd/v2.0.0'))],
  ['npm', 'npm', ask('/left-pad', agent('npm/10.9.0 node/v22.12.0 linux x64 workspaces/false'))],
  ['pnpm', 'npm', ask('/left-pad', agent('pnpm/9.15.0 npm/? node/v22.12.0 linux x64'))],
  ['a registry client that asks as npm does', 'npm', ask('/left-pad', accept('application/vnd.npm.install-v1+json; q=1.0, */*'))],
  ['pip', 'package-managers', ask('/simple/requests/', agent('pip/24.3.1 {"ci":null}'))],
  ['uv', 'package-managers', ask('/simple/requests/', agent('uv/0.5.9'))],
  ['cargo', 'package-managers', ask('/se/rd/serde', agent('cargo 1.83.0'))],
  ['go, through a module proxy', 'package-managers', ask('/golang.org/x/net/@v/list', agent('Go-http-client/2.0'))],
  ['go, for a path of its own', 'package-managers', ask('/x/net', agent('Go-http-client/2.0'), 'go.test', '?go-get=1')],
  ['apt', 'package-managers', ask('/debian/dists/stable/InRelease', agent('Debian APT-HTTP/1.3 (2.9.8)'))],
  ['Maven', 'package-managers', ask('/maven2/a.pom', agent('Apache-Maven/3.9.9 (Java 21)'))],
  ['boto3', 'aws', ask('/', agent('Boto3/1.35.0 md/Botocore#1.35.0 ua/2.0'))],
  ['gh', 'github', ask('/user', agent('GitHub CLI 2.63.2'), 'api.github.com')],
  ['a script at GitHub', 'github', ask('/user', agent('python-requests/2.32'), 'api.github.com')],
  ['gh at GitHub Enterprise', 'github', ask('/api/v3/user', agent('GitHub CLI 2.63.2'))],
  ['octokit', 'github', ask('/user', accept('application/vnd.github.v3+json'))],
  ['one that asks for text', 'text', ask('/', accept('text/plain'))],
  ['curl', 'json', ask('/', { ...agent('curl/8.11.0'), ...accept('*/*') })],
  ['Node’s fetch', 'json', ask('/', { ...agent('node'), ...accept('*/*') })],
  ['one that says nothing', 'json', ask('/')],
]

describe('the form of a refusal', () => {
  it.each(clients)('for %s is %s', (_client, id, asking) => {
    expect(writeRefusal(explained, asking)).toEqual(forms.find((form) => form.id === id)?.write(explained))
  })

  it('of every row is that of some client', () => {
    expect(new Set(clients.map(([, id]) => id))).toEqual(new Set(forms.map(({ id }) => id)))
  })

  it.each(forms.map((form) => [form.id, form] as const))('%s holds code, reason, hint and request id', (_id, form) => {
    for (const host of ['good.test', 's3.eu-west-1.amazonaws.com']) {
      const { text, type } = form.write({ ...explained, host })
      const read = type === 'application/xml' ? text.replaceAll(/&#(\d+);/g, (_all, code) => String.fromCharCode(code)) : text
      for (const said of ['host_denied', explained.message, explained.hint, 'id-7']) expect(read).toContain(said)
    }
  })

  it('is what the client reads: a string for npm, a field at the top for gh, a list for docker, lines for git', () => {
    const read = (id: string) => forms.find((form) => form.id === id)?.write(explained) ?? { type: '', text: '' }
    expect(JSON.parse(read('npm').text)).toMatchObject({ error: expect.stringContaining(explained.message), code: 'host_denied' })
    expect(JSON.parse(read('github').text)).toMatchObject({ message: expect.stringContaining(explained.hint), error: explained })
    expect(JSON.parse(read('oci').text)).toMatchObject({
      errors: [{ code: 'DENIED', message: expect.any(String), detail: explained }],
    })
    expect(read('git')).toMatchObject({
      type: expect.stringMatching(/^text\/plain/),
      text: expect.stringMatching(/^(?:[^\n]+\n){3}$/),
    })
    expect(JSON.parse(read('json').text)).toEqual({ error: explained })
  })

  it('of S3 is XML that nothing in it can end', () => {
    const text = forms.find((form) => form.id === 'aws')?.write({ ...explained, host: 's3.amazonaws.com' }).text
    expect(text).toContain('<Code>AccessDenied</Code><Message>iron-proxy: no rule lets devbot reach &#60;evil&#62; &#38; co')
  })
})

describe('the reason phrase', () => {
  it('is one short line of ASCII, whatever the reason holds', () => {
    expect(reasonPhrase('Forbidden', { code: 'host_denied', message: 'no “rule”\r\nX: y' })).toBe(
      'Forbidden (iron-proxy host_denied: no ?rule???X: y)',
    )
    expect(reasonPhrase('Forbidden', { code: 'x', message: 'a'.repeat(1000) })).toHaveLength(240)
  })
})
