import { mkdtempDisposable, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { formatIssue } from '#config/issue.ts'
import { settingKeys } from '#config/setting-keys.ts'
import { loadSettings } from '#config/settings.ts'

const none = { env: {}, flags: {} }

async function fromFile(
  text: string,
  more: { env?: Record<string, string>; flags?: Record<string, string | boolean>; system?: string } = {},
) {
  await using made = await mkdtempDisposable(join(tmpdir(), 'settings-'))
  const file = join(made.path, 'config.yaml')
  await writeFile(file, text)
  const loaded = await loadSettings({ ...none, ...more, file })
  return { ...loaded, messages: loaded.issues.map((issue) => formatIssue(issue).replace(`${made.path}/`, '')) }
}

describe('settings', () => {
  it('have a default each, which is what the example file says', async () => {
    const defaults = await loadSettings(none)
    const example = await loadSettings({ ...none, file: 'test/fixtures/config.example.yaml' })
    expect(defaults.issues).toEqual([])
    expect(example.issues).toEqual([])
    // The example is older than the unix socket, and its port still loads.
    const { listen } = example.settings ?? { listen: undefined }
    expect(listen?.admin).toEqual({ address: '127.0.0.1', port: 9465 })
    expect({ ...example.settings, listen: { ...listen, admin: defaults.settings?.listen.admin } }).toEqual(defaults.settings)
    expect(defaults.settings?.listen.dns).toEqual({ address: '127.0.0.1', port: 1053 })
    expect([...defaults.origins.values()].map(({ origin }) => origin)).toEqual(settingKeys.map(() => 'default'))
    expect(defaults.origins.get('listen.https')).toEqual({ value: '127.0.0.1:10443', origin: 'default' })
  })

  it('come from a flag before the environment before the file', async () => {
    const text = 'log: {level: warn}\nstate: file.db\nsealKey: file.key\nadvertise: 10.0.0.1\n'
    const env = { IRON_PROXY_LOG_LEVEL: 'error', IRON_PROXY_STATE: 'env.db', IRON_PROXY_SEAL_KEY: 'env.key' }
    const { settings, origins, issues } = await fromFile(text, { env, flags: { 'log-level': 'debug', 'seal-key': 'flag.key' } })
    expect(issues).toEqual([])
    expect(settings).toMatchObject({
      log: { level: 'debug' },
      state: 'env.db',
      sealKey: 'flag.key',
      advertise: '10.0.0.1',
      workers: 1,
    })
    expect(['log.level', 'state', 'sealKey', 'advertise', 'workers'].map((key) => origins.get(key))).toEqual([
      { value: 'debug', origin: 'flag' },
      { value: 'env.db', origin: 'env' },
      { value: 'flag.key', origin: 'flag' },
      { value: '10.0.0.1', origin: 'file' },
      { value: 1, origin: 'default' },
    ])
  })

  it.each([
    ['IRON_PROXY_LISTEN_DNS', '0.0.0.0:53', 'listen', { dns: { address: '0.0.0.0', port: 53 } }],
    ['IRON_PROXY_LISTEN_HTTPS', '8443', 'listen', { https: { address: '127.0.0.1', port: 8443 } }],
    ['IRON_PROXY_LISTEN_PROXY', '[::]:8080', 'listen', { proxy: { address: '::', port: 8080 } }],
    ['IRON_PROXY_LISTEN_ADMIN', 'off', 'listen', { admin: 'off' }],
    ['IRON_PROXY_LISTEN_ADMIN', 'unix:/run/admin.sock', 'listen', { admin: { socket: '/run/admin.sock' } }],
    ['IRON_PROXY_CA_CERT', '/run/ca.crt', 'ca', { cert: '/run/ca.crt' }],
    ['IRON_PROXY_UPSTREAM_RESOLVER', '10.0.0.53, 10.0.0.54:5353', 'upstream', { resolver: ['10.0.0.53', '10.0.0.54:5353'] }],
    ['IRON_PROXY_UPSTREAM_RESOLVER', 'system', 'upstream', { resolver: 'system' }],
    ['IRON_PROXY_UPSTREAM_CA', 'a.pem,b.pem', 'upstream', { ca: ['a.pem', 'b.pem'] }],
    [
      'IRON_PROXY_UPSTREAM_ALLOW_PRIVATE',
      '10.0.0.0/8,fd00::/8',
      'upstream',
      { allowPrivate: [{ text: '10.0.0.0/8' }, { text: 'fd00::/8' }] },
    ],
    [
      'IRON_PROXY_UPSTREAM_HOSTS',
      'A.test=127.0.0.1:8443,b.test=10.0.0.1',
      'upstream',
      {
        hosts: new Map([
          ['a.test', { address: '127.0.0.1', port: 8443 }],
          ['b.test', { address: '10.0.0.1', port: undefined }],
        ]),
      },
    ],
    ['IRON_PROXY_AUDIT_STDOUT', 'false', 'audit', { stdout: false }],
  ] as const)('%s=%s is read', async (name, value, section, expected) => {
    const { settings, issues } = await loadSettings({ env: { [name]: value }, flags: {} })
    expect(issues).toEqual([])
    expect(settings?.[section]).toMatchObject(expected)
  })

  it.each([
    ['on', true],
    ['off', false],
  ])('IRON_PROXY_WHOAMI=%s is read', async (value, expected) => {
    expect((await loadSettings({ env: { IRON_PROXY_WHOAMI: value }, flags: {} })).settings?.whoami).toBe(expected)
  })

  it.each([
    ['redis://cache:6379/2', undefined],
    ['rediss://proxy@cache', undefined],
    ['redis+sentinel://one:26379,two:26379/main/0', undefined],
    ['redis+cluster://one:6379,two:6379', undefined],
    ['postgres://db', 'write a file, or redis://host:6379/0'],
    ['redis://u:secret@cache', 'a password does not belong here; put it into a file and name that as `redis.password`'],
    ['redis://one,two', 'several hosts are a redis+sentinel:// or a redis+cluster://'],
    ['redis://cache/main', '"main" does not end in the number of a database'],
    ['redis+sentinel://one', 'name the group that the Sentinels watch: redis+sentinel://host:26379/group'],
    ['redis+cluster://one/3', 'a cluster has no database but 0'],
  ])('say where the state is: %s', async (state, wrong) => {
    const { settings, issues } = await loadSettings({ env: { IRON_PROXY_STATE: state }, flags: {} })
    expect(issues.map(({ message }) => message)).toEqual(wrong === undefined ? [] : [wrong])
    expect(settings?.state).toBe(wrong === undefined ? state : undefined)
  })

  it('with a file for the state of several replicas are refused, and name the fix', async () => {
    const { settings, issues } = await loadSettings({ env: { IRON_PROXY_REPLICAS: '2' }, flags: {} })
    expect(settings).toBeUndefined()
    expect(issues.map(({ path, message }) => [path, message])).toEqual([
      ['state', expect.stringMatching(/^a file is for one replica, .* write redis:\/\/host:6379\/0, or run one replica$/)],
    ])
    const shared = await loadSettings({ env: { IRON_PROXY_REPLICAS: '2', IRON_PROXY_STATE: 'redis://cache' }, flags: {} })
    expect(shared.settings?.replicas).toBe(2)
  })

  it('in a file may turn a door off by word or by false', async () => {
    const { settings } = await fromFile('listen: {dns: off, http: false, https: 10444}')
    expect(settings?.listen).toMatchObject({ dns: 'off', http: 'off', https: { port: 10444 } })
  })

  it('that are wrong are all reported, with their place', async () => {
    const { settings, messages } = await fromFile(
      'lisen: {}\nlisten: {dns: somewhere, htp: 80}\nworkers: two\nlog: {level: loud}\nupstream:\n  hosts: {"a b": 10.0.0.1, c.test: d}\n',
      {
        env: { IRON_PROXY_ADVERTISE: 'localhost' },
        flags: { 'ca-cert': '' },
      },
    )
    expect(settings).toBeUndefined()
    expect(messages).toEqual(
      expect.arrayContaining([
        'config.yaml:1:1 "lisen" is not known here (did you mean "listen"?)',
        'config.yaml:2:15 listen.dns: "somewhere" is not a place to listen; write a port, address:port, or off',
        'config.yaml:2:26 listen: "htp" is not known here (did you mean "http"?)',
        'config.yaml:3:10 workers: write a number, not text',
        'config.yaml:4:14 log.level: "loud" is not one of trace, debug, info, warn, error, silent',
        'config.yaml:6:18 upstream.hosts.a b: this is not a host name',
        'config.yaml:6:36 upstream.hosts.c.test: "d" is not an address or address:port',
        'IRON_PROXY_ADVERTISE advertise: "localhost" is not an address',
        '--ca-cert ca.cert: write at least 1 characters',
      ]),
    )
    expect(messages).toHaveLength(9)
  })

  it('cannot be read from a file that is missing or no map', async () => {
    const missing = await loadSettings({ ...none, env: { IRON_PROXY_CONFIG: 'no/such/file.yaml' } })
    expect(missing.settings).toBeUndefined()
    expect(missing.issues.map(formatIssue)).toEqual([
      expect.stringMatching(/^no\/such\/file.yaml: the settings cannot be read: it is not there \(ENOENT\)$/),
    ])
    expect((await fromFile('- a')).messages).toEqual(['config.yaml:1:1 write a map of settings'])
  })

  it('warn about variables that look like ours, but not about those of a Kubernetes Service', async () => {
    const { settings, issues } = await loadSettings({
      flags: {},
      env: {
        IRON_PROXY_LISEN_DNS: '1',
        IRON_PROXY_SERVICE_HOST: 'x',
        IRON_PROXY_PORT: 'x',
        IRON_PROXY_PORT_53_UDP: 'x',
        PATH: 'x',
      },
    })
    expect(issues.map(formatIssue)).toEqual([
      'IRON_PROXY_LISEN_DNS: warning: this environment variable is not known (did you mean "IRON_PROXY_LISTEN_DNS"?)',
    ])
    expect(settings).toBeDefined()
  })

  it.each([
    ['nats://nats.svc:4222', true],
    ['tls://nats.svc', true],
    ['nats://me:secret@nats.svc:4222', false],
    ['https://nats.svc', false],
  ])('take %s for NATS: %s, and no secret in it', async (url, fine) => {
    const { settings, messages } = await fromFile(`audit: {nats: {url: '${url}'}}\n`)
    expect([settings?.audit.nats.url, messages.length]).toEqual(fine ? [url, 0] : [undefined, 1])
    expect(messages.join()).not.toContain('secret')
  })

  it('say where several threads cannot share a port', async () => {
    const text = 'workers: 2\n'
    const elsewhere = await fromFile(text, { system: 'darwin' })
    expect(elsewhere.settings).toBeUndefined()
    expect(elsewhere.messages).toEqual([
      'config.yaml:1:10 workers: several threads share their ports by what only Linux does (SO_REUSEPORT), and this is darwin; write 1, or run replicas',
    ])
    expect((await fromFile(text, { system: 'linux' })).settings?.workers).toBe(2)
    expect((await fromFile('workers: 1\n', { system: 'darwin' })).messages).toEqual([])
  })
})
