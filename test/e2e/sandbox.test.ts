import { spawnSync } from 'node:child_process'
import { randomBytes, randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { dispatched } from '../kit/dispatched.ts'
import { noSandbox, sandboxStage } from '../kit/sandbox.ts'

const reason = noSandbox()
const has = (program: string): boolean => spawnSync(program, ['--version']).status === 0
const walls = ['bubblewrap', 'unshare'].filter((wall) => wall !== 'bubblewrap' || has('bwrap'))

/** Each line tries one way out or in, and says whether it was open. */
const probes = (paths: { readonly hidden: readonly string[]; readonly ports: readonly number[]; readonly socket: string }) => `
import os, socket, subprocess
def probe(name, act):
    try:
        act()
        print(name, 'OPEN')
    except Exception as error:
        print(name, 'closed', type(error).__name__)
def read(path):
    def act():
        if os.path.isdir(path):
            if not os.listdir(path): raise OSError('empty')
        elif not open(path, 'rb').read(): raise OSError('empty')
    return act
def dial(host, port, family=socket.AF_INET):
    return lambda: socket.create_connection((host, port), 2)
for path in ${JSON.stringify(paths.hidden)}: probe('read ' + path, read(path))
probe('admin door', lambda: socket.socket(socket.AF_UNIX).connect(${JSON.stringify(paths.socket)}))
for port in ${JSON.stringify(paths.ports)}: probe('host port %d' % port, dial('127.0.0.1', port))
probe('the public net', dial('1.1.1.1', 443))
probe('a private address', dial('10.0.0.1', 443))
probe('the metadata service', dial('169.254.169.254', 80))
probe('IPv6', dial('2606:4700:4700::1111', 443))
probe('a foreign resolver', lambda: (lambda s: (s.settimeout(2), s.sendto(b'x' * 12, ('9.9.9.9', 53)), s.recv(10)))(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)))
probe('raw IP', lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))
probe('raw packets', lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3))
probe('another user namespace', lambda: subprocess.run(['unshare', '-Urn', 'true'], check=True, stderr=subprocess.DEVNULL))
probe('a mount', lambda: subprocess.run(['mount', '-t', 'tmpfs', 'none', '/tmp'], check=True, stderr=subprocess.DEVNULL))
probe('the system', lambda: open('/usr/x', 'w'))
probe('the root', lambda: open('/x', 'w'))
probe('other processes', lambda: [os.kill(int(pid), 0) for pid in os.listdir('/proc') if pid.isdigit() and 'bin.js' in open('/proc/%s/cmdline' % pid).read()][0])
status = open('/proc/self/status').read()
print('privileges', 'NoNewPrivs:\\t1' in status, [line.split()[1] for line in status.split('\\n') if line.startswith(('CapEff', 'CapPrm', 'CapBnd', 'CapAmb'))])
print('environment', sorted(name for name, value in os.environ.items() if 'SECRET' in value))
`

const key = `sk-ant-test-${randomBytes(16).toString('hex')}`

describe.skipIf(reason !== undefined)(`a sandbox${reason === undefined ? '' : ` (skipped: ${reason})`}`, () => {
  let on: Awaited<ReturnType<typeof sandboxStage>>
  beforeAll(async () => {
    on = await sandboxStage(key)
  })
  afterAll(() => on[Symbol.asyncDispose]())

  it('passes streams and the exit code, refuses every host at first, and says how to allow it', async () => {
    const script = 'cat; echo to-stderr >&2; curl -s -o /dev/null -w "%{http_code}\\n" https://closed.test/a; touch made; exit 7'
    const done = await on.run(['--', 'sh', '-c', script], { input: 'from stdin\n' })
    expect(done.stdout).toBe('from stdin\n403\n')
    expect(done.code).toBe(7)
    expect(done.stderr).toContain('to-stderr')
    expect(done.stderr).toContain('refused  closed.test (host_denied)')
    expect(done.stderr).toContain('allow it: iron-proxy allow closed.test --agent sandbox')
    expect(on.upstream.requests).toEqual([])
    // Gone with its only sandbox: the next one must not find it half stopped.
    expect(existsSync(join(on.home, '.iron-proxy', 'admin.sock'))).toBe(false)
    // The folder is the user's own, and what was made in it stays.
    expect(await readdir(on.work)).toEqual(['made'])
    expect((await stat(join(on.home, '.iron-proxy'))).mode & 0o777).toBe(0o700)
  })

  it.each(walls)('has no way around the proxy and sees nothing of its user: %s', async (wall) => {
    const own = join(on.home, '.iron-proxy')
    await writeFile(join(on.home, 'private'), 'SECRET of the user')
    await mkdir(join(own, 'policies', 'secrets'), { recursive: true })
    await writeFile(join(own, 'policies', 'secrets', 'anthropic-api-key'), key, { mode: 0o600 })
    // What is ours stays hidden below the folder too.
    await mkdir(join(on.work, '.iron-proxy'), { recursive: true })
    await writeFile(join(on.work, '.iron-proxy', 'note'), 'SECRET')
    const hidden = [
      ...[
        'policies',
        'policies/secrets',
        'policies/secrets/anthropic-api-key',
        'certs/ca.key',
        'certs',
        'state.db',
        'seal.key',
        'audit.jsonl',
      ].map((name) => join(own, name)),
      on.home,
      join(on.home, 'private'),
      homedir(),
      '/root',
      '/etc/shadow',
      '/etc/ssl/private',
      tmpdir(),
      join(on.folder, 'upstream.crt'),
      join(on.work, '.iron-proxy'),
    ]
    const socket = join(own, 'admin.sock')
    const code = probes({ hidden, ports: [1053, 9464, 9465, 10080, 10443], socket })
    const done = await on.run(['--wall', wall, '-q', '--', '/usr/bin/python3', '-'], {
      input: code,
      env: { CANARY: 'SECRET', ANTHROPIC_API_KEY: key },
    })
    expect(done.stderr).toBe('')
    const lines = done.stdout.trim().split('\n')
    // The folder itself is below the temporary one, and is all that is there.
    expect(lines.filter((line) => line.endsWith('OPEN'))).toEqual([`read ${tmpdir()} OPEN`])
    expect(lines.length).toBeGreaterThan(30)
    expect(lines).toContain("privileges True ['0000000000000000', '0000000000000000', '0000000000000000', '0000000000000000']")
    expect(lines).toContain('environment []')
    const there = await on.run(['--wall', wall, '-q', '--', 'find', tmpdir(), '-mindepth', '1', '-maxdepth', '2'])
    expect(there.stdout.trim().split('\n')).toEqual([on.folder, on.work])
  })

  it('does not see another sandbox that runs beside it', async () => {
    const first = on.run([
      '-q',
      '--',
      'sh',
      '-c',
      'echo SECRET > ~/mine; echo SECRET > /tmp/mine; touch ready; while [ -e ready ]; do sleep 0.1; done',
    ])
    const second = 'cat ~/mine /tmp/mine; ps -e 2>/dev/null | grep -c sleep; ls /home; rm ready'
    while (!existsSync(join(on.work, 'ready'))) await new Promise((resolve) => setTimeout(resolve, 20))
    const seen = await on.run(['-q', '--', 'sh', '-c', second])
    expect(seen.stdout).toBe('0\nsandbox\n')
    expect((await first).code).toBe(0)
  })

  it('reaches what the policy allows, through every door, with its run in the record', async () => {
    const file = join(on.home, '.iron-proxy', 'policies', 'sandbox.yaml')
    const rules = 'rules:\n  - {id: open, agents: [sandbox], hosts: [open.test], plain: true}\n'
    await writeFile(file, (await readFile(file, 'utf8')).replace('rules: []\n', rules))
    const ask = 'curl -s -o /dev/null -w "%{http_code} "'
    const script = `${ask} https://open.test/sni; ${ask} -x http://127.0.0.1:8080 https://open.test/connect; ${ask} https://closed.test/no`
    const done = await on.run(['--', 'sh', '-c', script])
    expect(done.stdout).toBe('200 200 403 ')
    expect(done.stderr).toContain('reached  open.test ×2')
    const records = (await readFile(join(on.home, '.iron-proxy', 'audit.jsonl'), 'utf8')).trim().split('\n')
    const reached = records
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .filter(({ path, verdict }) => path === '/sni' && verdict === 'allow')
    expect(reached).toMatchObject([{ agent: 'sandbox', runId: expect.any(String), status: 200 }])
  })

  it.each<[string, readonly string[], number, string]>([
    ['a home', ['--dir', 'HOME', '--', 'true'], 64, 'the program would see all of it'],
    ['what is above a home', ['--dir', 'FOLDER', '--', 'true'], 64, 'the program would see all of it'],
    ['the root', ['--dir', '/', '--', 'true'], 64, 'the program would see all of it'],
    ['our own files', ['--dir', 'HOME/.iron-proxy/policies', '--', 'true'], 64, 'which no sandbox may see'],
    ['a folder that is not there', ['--dir', 'none', '--', 'true'], 66, 'none: there is no such folder'],
    ['no program', [], 64, 'name the program behind --'],
    [
      'a program that is not there',
      ['--dir', 'WORK', '--', 'no-such-program'],
      66,
      'there is no program "no-such-program" in PATH',
    ],
    ['a budget that is none', ['--usd=-1', '--', 'true'], 64, '--usd takes a number that is not negative'],
    ['an agent of no policy', ['--dir', 'WORK', '--agent', 'nobody', '--', 'true'], 78, 'have no agent "nobody"; there is'],
    ['a wall of paper', ['--dir', 'WORK', '--wall', 'paper', '--', 'true'], 64, '--wall takes bubblewrap or unshare'],
    [
      'no login',
      ['--dir', 'WORK', '--', 'gemini'],
      78,
      'there is no login or key for gemini: set GEMINI_API_KEY; or put the key into',
    ],
  ])('starts nothing with %s', async (_name, words, code, text) => {
    const tools = join(on.folder, 'gemini-tools')
    await mkdir(tools, { recursive: true })
    await writeFile(join(tools, 'gemini'), '#!/bin/sh\n', { mode: 0o755 })
    const named = words.map((word) => word.replace('HOME', on.home).replace('FOLDER', on.folder).replace('WORK', on.work))
    const env = { HOME: on.home, PATH: `${process.env['PATH']}:${tools}` }
    const done = await dispatched(['sandbox', ...named], { env, uid: process.getuid?.() })
    expect([done.stderr, done.code]).toEqual([expect.stringContaining(text), code])
  })

  it('lets no live key in', async () => {
    const live = `ghp_${randomBytes(20).toString('hex')}`
    const done = await on.run(['--env', `GH_TOKEN=${live}`, '--', 'true'])
    expect([done.code, done.stderr]).toEqual([
      64,
      expect.stringContaining('--env GH_TOKEN holds a GitHub token: no secret goes into a sandbox'),
    ])
    expect(done.stderr).not.toContain(live)
  })

  it('gives a program that stands for Claude Code its stub, and the upstream its key', async () => {
    const tools = join(on.folder, 'tools')
    const modules = join(tools, 'lib', 'node_modules', 'claude')
    await mkdir(modules, { recursive: true })
    await mkdir(join(tools, 'bin'))
    await symlink('../lib/node_modules/claude/cli.sh', join(tools, 'bin', 'claude'))
    const body = '{"model":"claude-sonnet-4-5","max_tokens":10,"messages":[{"role":"user","content":"hi"}]}'
    const ask = `curl -s -H "x-api-key: $ANTHROPIC_API_KEY" -H "content-type: application/json" -H "anthropic-version: 2023-06-01" -d '${body}' https://api.anthropic.com/v1/messages`
    await writeFile(join(modules, 'cli.sh'), `#!/usr/bin/env sh\necho "$ANTHROPIC_API_KEY"\n${ask}\n`, { mode: 0o755 })
    const done = await on.run(['--', 'claude', '-p', 'hi'], {
      env: { ANTHROPIC_API_KEY: key, PATH: `${join(tools, 'bin')}:${process.env['PATH']}` },
    })
    const [stub = '', reply = ''] = done.stdout.split('\n')
    expect(stub).toMatch(/^sk-ant-stub-/)
    expect(JSON.parse(reply)).toMatchObject({ type: 'message' })
    expect(on.upstream.requests.at(-1)?.rawHeaders).toContain(key)
    expect(done.stderr).toMatch(/spent {4}110 tokens, 0\.\d{4} USD/)
    expect(done.stdout + done.stderr).not.toContain(key)
  })

  it.skipIf(!has('claude'))(
    `answers with the real Claude Code${has('claude') ? '' : ' (skipped: it is not in PATH)'}`,
    async () => {
      const done = await on.run(['--', 'claude', '-p', 'hi'], { env: { ANTHROPIC_API_KEY: key } })
      expect(done.stdout).toContain('word word word')
      expect(done.code).toBe(0)
      const asked = on.upstream.requests.filter(({ target }) => target.startsWith('/v1/messages'))
      expect(asked.at(-1)?.rawHeaders).toContain(key)
      expect(asked.flatMap(({ rawHeaders }) => rawHeaders).join('\n')).not.toContain('sk-ant-stub')
      expect(done.stdout + done.stderr).not.toContain(key)
    },
  )

  it.skipIf(!has('codex'))(`answers with the real Codex${has('codex') ? '' : ' (skipped: it is not in PATH)'}`, async () => {
    const real = `codex-access-${randomBytes(16).toString('hex')}`
    const login = {
      auth_mode: 'chatgpt',
      OPENAI_API_KEY: null,
      tokens: { access_token: real, refresh_token: `refresh-${real}`, account_id: randomUUID() },
      last_refresh: new Date().toISOString(),
    }
    await mkdir(join(on.home, '.codex'), { recursive: true })
    await writeFile(join(on.home, '.codex', 'auth.json'), JSON.stringify(login), { mode: 0o600 })
    const done = await on.run(['--take-login', '--', 'codex', 'exec', '--skip-git-repo-check', 'hi'])
    expect(done.stderr).toContain('.codex/auth.json to ')
    expect(existsSync(join(on.home, '.codex', 'auth.json'))).toBe(false)
    // What comes back is the business of a provider that knows the account; here it is that every call is made with the real login.
    const asked = on.upstream.requests.filter(({ rawHeaders }) => rawHeaders.includes(`Bearer ${real}`))
    expect(asked.length).toBeGreaterThan(0)
    expect(asked.map(({ rawHeaders }) => rawHeaders.join(' ')).join('\n')).toContain(login.tokens.account_id)
    expect(done.stdout + done.stderr).not.toContain(real)
  })
})
