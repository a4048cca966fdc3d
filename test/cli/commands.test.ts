import { spawn } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { cp, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { commands } from '#cli/index.ts'
import { version } from '#cli/about.ts'

const top = new URL('../..', import.meta.url).pathname

interface Done {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'iron-proxy-cli-'))
  await cp(join(top, 'policies'), join(folder, 'policies'), { recursive: true })
})

afterAll(() => rm(folder, { recursive: true }))

/** Runs one command line as a user would, in a folder of its own. */
function ironProxy(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Done> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [join(top, 'src/bin.js'), ...args], {
      cwd: folder,
      env: { PATH: process.env['PATH'], HOME: folder, ...env },
    })
    let stdout = ''
    let stderr = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
    child.on('close', (code) => resolve({ code, stdout, stderr }))
  })
}

describe('iron-proxy', () => {
  it('lists every command, and explains each', async () => {
    const { code, stdout } = await ironProxy(['--help'])
    expect(code).toBe(0)
    for (const { name, summary } of commands) expect(stdout).toContain(`${name.padEnd(13)}${summary}`)
    expect(stdout).not.toContain('\u001B[')
  })

  it.each([
    ['ca rotate with nothing staged', ['ca', 'rotate', '--activate'], 66, 'no root is staged'],
    ['run without policies', ['run', '--policies', 'none'], 78, '`iron-proxy check` says what is wrong'],
  ])('says what is wrong with %s', async (_name, args, code, text) => {
    const done = await ironProxy(args)
    expect(done.stderr).toContain(text)
    expect(done.stderr).not.toMatch(/^ +at /m)
    expect(done.code).toBe(code)
    await rm(join(folder, 'certs'), { recursive: true, force: true })
  })

  it('tells its version, also to scripts', async () => {
    expect((await ironProxy(['version'])).stdout).toContain(version)
    expect(JSON.parse((await ironProxy(['version', '--json'])).stdout)).toMatchObject({ version, node: process.version })
  })
})

describe('check', () => {
  it('passes the policy that npm start finds, and says that it refuses everything', async () => {
    const { code, stdout } = await ironProxy(['check', 'policies/'])
    expect(code).toBe(0)
    expect(stdout).toContain('there is no rule, so every request is refused')
    expect((await ironProxy(['check', '--strict'])).code).toBe(1)
  })

  it('names file, line and column of what is wrong, for people and for scripts', async () => {
    await mkdir(join(folder, 'broken'))
    await writeFile(
      join(folder, 'broken/crew.yaml'),
      'version: 1\nagents: {a: {from: [{cidr: 10.0.0.0/8}]}}\nrules:\n  - {id: r, hosts: ["*.com"]}\n',
    )
    const text = await ironProxy(['check', 'broken'])
    expect(text.code).toBe(1)
    expect(text.stdout).toMatch(/broken\/crew\.yaml:4:\d+ rules\[0\]\.hosts/)
    const json = JSON.parse((await ironProxy(['check', '--json', 'broken'])).stdout) as { ok: boolean; issues: unknown[] }
    expect(json.ok).toBe(false)
    expect(json.issues[0]).toMatchObject({ severity: 'error', position: { line: 4 } })
  })

  it('prints each setting with its origin: flag before environment before file before default', async () => {
    await writeFile(
      join(folder, 'iron-proxy.yaml'),
      'listen: {dns: 127.0.0.1:5301, http: 127.0.0.1:5302, https: 127.0.0.1:5303}\n',
    )
    const { stdout } = await ironProxy(['check', '--print', '--listen-https', '127.0.0.1:5304'], {
      IRON_PROXY_LISTEN_HTTP: '127.0.0.1:5305',
    })
    await rm(join(folder, 'iron-proxy.yaml'))
    expect(stdout).toMatch(/listen\.dns +"127\.0\.0\.1:5301" +\(file\)/)
    expect(stdout).toMatch(/listen\.http +"127\.0\.0\.1:5305" +\(env\)/)
    expect(stdout).toMatch(/listen\.https +"127\.0\.0\.1:5304" +\(flag\)/)
    expect(stdout).toMatch(/listen\.proxy +"127\.0\.0\.1:8080" +\(default\)/)
  })
})

describe('explain', () => {
  it('shows the deciding line and where the credential would go', async () => {
    await mkdir(join(folder, 'one'))
    await cp(join(folder, 'policies/examples/github.yaml'), join(folder, 'one/github.yaml'))
    const one = await ironProxy(['explain', '--policies', 'one', '--agent', 'coder', 'https://api.github.com/user'])
    expect(one.stdout).toContain('verdict  allow by rule api')
    expect(one.stdout).toContain('swap     github: header:authorization')
    expect(one.code).toBe(0)
    const denied = await ironProxy([
      'explain',
      '--json',
      '--policies',
      'one',
      '-a',
      'coder',
      '-X',
      'DELETE',
      'https://api.github.com/repos/a/b',
    ])
    expect(denied.code).toBe(1)
    expect(JSON.parse(denied.stdout)).toMatchObject({
      verdict: 'deny',
      code: 'rule_denied',
      rule: 'no-deletion',
      line: '- id: no-deletion',
    })
  })
})

describe('ca and env', () => {
  it('makes a CA once, shows it, and never writes over it', async () => {
    expect((await ironProxy(['ca', 'status'])).code).toBe(66)
    expect((await ironProxy(['ca', 'init', '--name', 'test CA', '--days', '30'])).code).toBe(0)
    const made = await readFile(join(folder, 'certs/ca.crt'), 'utf8')
    expect(new X509Certificate(made).subject).toContain('test CA')
    expect((await stat(join(folder, 'certs/ca.key'))).mode & 0o777).toBe(0o600)
    expect((await ironProxy(['ca', 'init'])).code).toBe(78)
    expect(await readFile(join(folder, 'certs/ca.crt'), 'utf8')).toBe(made)
    expect((await ironProxy(['ca', 'status', '--json'])).stdout).toContain(new X509Certificate(made).fingerprint256)
  })

  it('bundles our CA first, then the public roots unless they are left out', async () => {
    const all = (await ironProxy(['ca', 'bundle'])).stdout.match(/BEGIN CERTIFICATE/g)?.length ?? 0
    const ours = (await ironProxy(['ca', 'bundle', '--only', 'ours'])).stdout
    expect(all).toBeGreaterThan(50)
    expect(ours.trim()).toBe((await readFile(join(folder, 'certs/ca.crt'), 'utf8')).trim())
  })

  it('prints variables that a shell can take in, and writes the bundle they name', async () => {
    const { stdout } = await ironProxy(['env'])
    const file = /export SSL_CERT_FILE='(.+)'/.exec(stdout)?.[1] ?? ''
    expect(await readFile(file, 'utf8')).toContain('BEGIN CERTIFICATE')
    expect(stdout).toContain(`export NODE_EXTRA_CA_CERTS='`)
    const wgetrc = /export WGETRC='(.+)'/.exec(stdout)?.[1] ?? ''
    expect(await readFile(wgetrc, 'utf8')).toBe(`ca_certificate = ${file}\n`)
    expect(stdout).toMatch(/export JAVA_TOOL_OPTIONS='-Djavax\.net\.ssl\.trustStore=.+bundle\.jks /)
    expect(stdout).toContain("export NODE_USE_ENV_PROXY='1'")
    const gone = (await ironProxy(['env', '--unset'])).stdout
    for (const [, name] of stdout.matchAll(/^export (\w+)=/gm)) expect(gone.split(/\s/)).toContain(name)
    const k8s = await ironProxy(['env', '--format', 'k8s', '--bundle', '/etc/iron-proxy/ca.crt'])
    expect(k8s.stdout).not.toContain('WGETRC')
    expect(k8s.stdout).toContain('- {name: GIT_SSL_CAINFO, value: "/etc/iron-proxy/ca.crt"}')
  })
})

describe('schema and healthcheck', () => {
  it('prints the schema that policies/ has', async () => {
    const { stdout } = await ironProxy(['schema'])
    expect(JSON.parse(stdout)).toEqual(JSON.parse(await readFile(join(top, 'policies/schema.json'), 'utf8')))
  })

  it('exits 69 when nobody answers', async () => {
    expect((await ironProxy(['healthcheck', '--listen-metrics', '127.0.0.1:1'])).code).toBe(69)
  })
})
