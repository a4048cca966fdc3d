import { appendFile, mkdtempDisposable, rename, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { entryStream } from '#cli/logs/stream.ts'
import { dispatched } from '../../kit/dispatched.ts'
import { scenario } from '../../kit/scenario.ts'
import { startUpstream } from '../../kit/upstream.ts'
import { within } from '../../kit/within.ts'

const policy = `version: 1
agents: {coder: {from: [{cidr: 127.0.0.0/8}]}}
rules: [{id: open, hosts: [open.test]}]
`

describe('logs', () => {
  it('reads the running proxy and the audit file alike, filtered, and follows both', async () => {
    await using s = await scenario({
      policy,
      upstreams: { open: { hosts: ['open.test'], start: ({ certificate }) => startUpstream({ certificate, protocol: 'h1' }) } },
    })
    const admin = ['--listen-admin', `127.0.0.1:${s.ports.admin}`]
    await s.curl('transparent', 'https://open.test/a')
    await s.curl('transparent', 'https://closed.test/b')
    await s.audited({ host: 'closed.test', type: 'request' })

    for (const source of [admin, ['--file', s.files.auditFile]]) {
      const all = await dispatched(['logs', ...source])
      expect(all.stdout).toMatch(/coder +allow GET open\.test \/a 200/)
      expect(all.stdout).toMatch(/coder +deny +GET closed\.test \/b 403 host_denied/)
      expect(all.stdout).toContain('iron-proxy allow closed.test --agent coder')
      const denied = await dispatched(['logs', ...source, '--verdict', 'deny', '--json', '--host', '*.test'])
      const records = denied.stdout
        .trim()
        .split('\n')
        .map((text) => JSON.parse(text) as { id: string; host: string })
      expect(records.every(({ host }) => host === 'closed.test')).toBe(true)
      const one = await dispatched(['logs', ...source, '--id', records.at(-1)?.id ?? '', '--json'])
      expect(JSON.parse(one.stdout)).toEqual(records.at(-1))
      expect((await dispatched(['logs', ...source, '--agent', 'nobody'])).stdout).toBe('')
      expect(await dispatched(['logs', ...source, '--id', 'none'])).toMatchObject({ code: 1 })

      const stdout = new PassThrough()
      let said = ''
      stdout.on('data', (text) => (said += String(text)))
      let stop = () => {}
      const onSignal = (name: string, act: () => void) => {
        if (name === 'SIGINT') stop = act
        return () => {}
      }
      const following = dispatched(['logs', '-f', ...source], { stdout, onSignal })
      expect(await within(() => said.includes('open.test /a'))).toBeTruthy()
      await s.curl('transparent', 'https://open.test/later')
      expect(await within(() => said.includes('open.test /later'))).toBeTruthy()
      stop()
      expect((await following).code).toBe(0)
    }
  })

  it('follows a file that is rotated, and skips a line that was cut', async () => {
    await using made = await mkdtempDisposable(join(tmpdir(), 'logs-'))
    const file = join(made.path, 'audit.jsonl')
    const record = (path: string) =>
      `${JSON.stringify({ id: 'x', time: '2026-01-01T00:00:00Z', type: 'request', agent: 'a', host: 'h.test', path, verdict: 'allow', swaps: [] })}\n`
    await writeFile(file, `{"id":"cut\n${record('/one')}`)
    const stdout = new PassThrough()
    let said = ''
    stdout.on('data', (text) => (said += String(text)))
    let stop = () => {}
    const onSignal = (name: string, act: () => void) => {
      if (name === 'SIGINT') stop = act
      return () => {}
    }
    const following = dispatched(['logs', '-f', '--file', file], { stdout, onSignal })
    expect(await within(() => said.includes('/one'))).toBeTruthy()
    await rename(file, `${file}.1`)
    await writeFile(file, record('/two'))
    expect(await within(() => said.includes('/two'))).toBeTruthy()
    await appendFile(file, record('/three'))
    expect(await within(() => said.includes('/three'))).toBeTruthy()
    stop()
    expect((await following).code).toBe(0)
    expect(said.match(/\/one/g)).toHaveLength(1)
  })

  it.each([
    [['logs', '--verdict', 'no'], 64, '--verdict takes allow, deny, would_deny, error, and not "no"'],
    [['logs', '--lines', '0'], 64, '--lines takes a whole number from 1'],
    [['logs', '--file', 'none.jsonl'], 66, 'none.jsonl: cannot be read: it is not there'],
    [['logs', '--listen-admin', 'unix:/nowhere/admin.sock'], 69, 'no proxy answers on unix:/nowhere/admin.sock'],
  ])('%j ends with words', async (args, code, text) => {
    const done = await dispatched(args)
    expect([done.code, done.stderr]).toEqual([code, expect.stringContaining(text)])
  })

  it('is what a terminal shows in place of JSON', () => {
    const out = new PassThrough()
    const lines = entryStream(out, false)
    const record = {
      id: '1',
      time: '2026-01-01T00:00:00Z',
      type: 'request',
      agent: 'a',
      method: 'GET',
      host: 'h.test',
      path: '/',
      verdict: 'allow',
      swaps: [],
    }
    const bytes = Buffer.from(`${JSON.stringify(record)}\n${JSON.stringify({ ...record, type: 'dns' })}\n`)
    lines.write(bytes.subarray(0, 20))
    lines.write(bytes.subarray(20))
    expect(String(out.read())).toBe('00:00:00 a          allow GET h.test / 1\n')
  })
})
