import { mkdir, mkdtempDisposable, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { natsSink } from '#observe/nats.ts'
import { dispatched } from '../kit/dispatched.ts'
import { hasNats, startNats } from '../kit/nats.ts'
import { lineOf } from '../policy-tools/traffic.ts'

const audit = [
  lineOf({ path: '/items/1', time: '2026-01-01T00:00:00.000Z' }),
  lineOf({ path: '/items/2', time: '2026-01-02T00:00:00.000Z' }),
  lineOf({ method: 'DELETE', path: '/items/2', time: '2026-01-02T00:00:00.000Z' }),
  lineOf({ agent: 'b', path: '/other', time: '2026-01-02T00:00:00.000Z' }),
  '',
].join('\n')

const policy = `version: 1
agents:
  a: {from: [{cidr: 127.0.0.1}], mode: report}   # watched
  b: {from: [{cidr: 127.0.0.2}], mode: report}
rules:
  - {id: other, agents: [b], hosts: [x.test], paths: [/other]}
# the end
`

async function folder() {
  const made = await mkdtempDisposable(join(tmpdir(), 'iron-proxy-learn-'))
  await mkdir(join(made.path, 'policies'))
  await writeFile(join(made.path, 'policies/a.yaml'), policy)
  await writeFile(join(made.path, 'audit.ndjson'), audit)
  return {
    ...made,
    audit: join(made.path, 'audit.ndjson'),
    policies: join(made.path, 'policies'),
    [Symbol.asyncDispose]: () => made[Symbol.asyncDispose](),
  }
}

describe('iron-proxy learn', () => {
  it('proposes a policy that check takes beside the one that is there', async () => {
    await using at = await folder()
    const out = join(at.path, 'policies/learned.yaml')
    expect(await dispatched(['learn', '--policies', at.policies, '--out', out, at.audit])).toMatchObject({ code: 0, stderr: '' })
    const text = await readFile(out, 'utf8')
    expect(text).toContain('  # a 2\n  - id: x-test-get\n    agents: [a]\n')
    expect(text).toContain('# - a DELETE https://x.test/items/2 (1): it deletes')
    expect(await dispatched(['check', at.policies])).toMatchObject({ code: 0 })
  })

  it('reads standard input and compressed files, of one agent and one window', async () => {
    await using at = await folder()
    await writeFile(`${at.audit}.gz`, gzipSync(audit))
    const asked = ['learn', '--policies', at.policies, '--agent', 'a', '--since', '2026-01-02', '--until', '2026-01-03']
    const { stdout } = await dispatched([...asked, '-'], { stdin: Readable.from([Buffer.from(audit)]) })
    expect(stdout).toContain('- /items/*   # 1')
    expect(stdout).not.toContain('/other')
    expect((await dispatched([...asked, `${at.audit}.gz`])).stdout).toBe(stdout)
    expect((await dispatched([...asked, '--audit-file', at.audit])).stdout).toBe(stdout)
  })

  it('prints a diff into a policy, and writes it on demand; comments stay', async () => {
    await using at = await folder()
    const file = join(at.policies, 'a.yaml')
    const { stdout, stderr } = await dispatched(['learn', '--into', file, at.audit])
    expect(stdout).toContain(`--- ${file}\n+++ ${file}\n@@ -4,4 +4,12 @@\n`)
    expect(stdout).toContain('+  - id: x-test-get\n')
    expect(stdout).not.toContain('/other   #')
    expect(stderr).toContain('# - a DELETE https://x.test/items/2 (1): it deletes')
    expect(await dispatched(['learn', '--into', file, '--write', at.audit])).toMatchObject({ code: 0, stdout: '' })
    const text = await readFile(file, 'utf8')
    expect(text).toContain('mode: report}   # watched')
    expect(text.endsWith('# the end\n')).toBe(true)
    // All is allowed now, so there is nothing left to learn.
    expect((await dispatched(['learn', '--into', file, at.audit])).stdout).toBe('')
  })

  it('includes what is risky and whole hosts where it is asked to', async () => {
    await using at = await folder()
    const asked = ['learn', '--policies', at.policies, at.audit]
    expect((await dispatched([...asked, '--include', 'delete'])).stdout).toContain('methods: [DELETE, GET]')
    const { stdout } = await dispatched([...asked, '--whole-hosts'])
    expect(stdout).toContain('agents: [a, b]\n    hosts: [x.test]\n')
    expect(stdout).not.toContain('paths')
  })

  it.each([
    [['learn'], 64, 'name an audit file'],
    [['learn', '--nats'], 64, 'give --audit-nats-url'],
    [['learn', '--since', 'soon', '-'], 64, '--since takes 36h, 2d'],
    [['learn', '--include', 'mint', '-'], 64, '--include takes delete, upload, refused'],
    [['learn', '--merge', '0', '-'], 64, '--merge takes a whole number from 1'],
    [['learn', '--write', '-'], 64, '--write edits the file that --into names'],
    [['learn', 'none.ndjson'], 66, 'none.ndjson: cannot be read: it is not there'],
  ])('%j is refused', async (args, expected, text) => {
    const { code, stderr } = await dispatched(args)
    expect(stderr).toContain(text)
    expect(code).toBe(expected)
  })

  // Why it may be skipped: this machine has no nats-server.
  it.skipIf(!hasNats)('reads the stream of NATS to its end', async () => {
    await using at = await folder()
    await using nats = await startNats()
    const place = { url: nats.url, subject: 'swarm.events', stream: 'SWARM_EVENTS' }
    const sink = natsSink(place)
    const lines = audit.trim().split('\n')
    await sink.write(Buffer.from(lines.map((line, i) => `${line.replace(/"id":"[^"]*"/, `"id":"N${i}"`)}\n`).join('')))
    await sink.close()
    const asked = ['learn', '--policies', at.policies]
    const { stdout, stderr } = await dispatched([...asked, '--nats', '--audit-nats-url', nats.url])
    expect(stderr).toBe('')
    expect(stdout).toBe((await dispatched([...asked, at.audit])).stdout)
    const empty = ['--nats', '--audit-nats-url', nats.url, '--since', '2030-01-01']
    expect((await dispatched([...asked, ...empty])).stdout).toContain('rules: []')
  })
})
