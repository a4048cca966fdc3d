import { appendFile, mkdtempDisposable, rename, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { auditLine } from '#observe/audit-line.ts'
import { dispatched } from '../../kit/dispatched.ts'
import { scenario } from '../../kit/scenario.ts'
import { startUpstream } from '../../kit/upstream.ts'
import { within } from '../../kit/within.ts'
import { record } from '../../observe/records.ts'

const time = (second: number) => new Date(Date.UTC(2026, 0, 1) + second * 1000).toISOString()
const event = (run: string, second: number, some: object) =>
  `${JSON.stringify({ id: `${run}-${second}`, time: time(second), type: 'run', agent: 'devbot', runId: run, ...some })}\n`

async function files() {
  const made = await mkdtempDisposable(join(tmpdir(), 'runs-'))
  const file = (name: string) => join(made.path, name)
  await writeFile(
    file('audit.jsonl'),
    `${auditLine(record({ id: '1', time: time(0), runId: 'run-1', usage: { meter: 'm', model: 'x', input: 5, usd: 1 } }))}\n`,
  )
  await rename(file('audit.jsonl'), file('audit.jsonl.20260101T000000000Z'))
  await writeFile(
    file('audit.jsonl'),
    `${auditLine(record({ id: '2', time: time(4), runId: 'run-1', verdict: 'deny', code: 'host_denied', agent: 'devbot' }))}\n`,
  )
  await writeFile(
    file('events.jsonl'),
    event('run-1', 1, { event: 'tool', tool: 'Read', head: 'README.md' }) +
      event('run-2', 9, { event: 'prompt', head: 'hi', agent: 'other' }),
  )
  await writeFile(
    file('memory.jsonl'),
    `${JSON.stringify({ id: 'm', time: time(3), type: 'decision', agent: 'devbot', title: 'Keep it', run_id: 'run-1' })}\n`,
  )
  const args = ['--audit-file', file('audit.jsonl'), '--runs-events', file('events.jsonl'), '--memory', file('memory.jsonl')]
  return { args, file, [Symbol.asyncDispose]: () => made[Symbol.asyncDispose]() }
}

describe('runs', () => {
  it('lists runs, shows one joined from rotated audit, events and memory, and follows new steps', async () => {
    await using made = await files()
    const all = await dispatched(['runs', ...made.args])
    expect(all).toMatchObject({ code: 0, stderr: '' })
    expect(all.stdout.split('\n').map((row) => row.slice(21, 26))).toEqual(['run-2', 'run-1', ''])
    expect(JSON.parse((await dispatched(['runs', ...made.args, '--json', '--agent', 'devbot'])).stdout)).toMatchObject([
      { id: 'run-1', requests: 2, refused: 1, tokens: 5, usd: 1, tools: 1, memory: 1 },
    ])
    const shown = await dispatched(['runs', 'show', 'run-1', ...made.args])
    expect(shown.stdout).toContain('run run-1 of devbot: running')
    expect(
      shown.stdout
        .split('\n')
        .slice(2)
        .map((row) => row.slice(13, 28).trim()),
    ).toEqual(['audit  request', 'agent  tool', 'memory memory', 'audit  request', ''])
    const { run, steps } = JSON.parse((await dispatched(['runs', 'show', 'run-1', '--json', ...made.args])).stdout) as {
      run: object
      steps: object[]
    }
    expect(run).toMatchObject({ id: 'run-1' })
    expect(steps).toHaveLength(4)
    expect(steps[2]).toMatchObject({ from: 'memory', title: 'Keep it' })

    const stdout = new PassThrough()
    let said = ''
    stdout.on('data', (text) => (said += String(text)))
    let stop = () => {}
    const onSignal = (name: string, act: () => void) => {
      if (name === 'SIGINT') stop = act
      return () => {}
    }
    const following = dispatched(['runs', 'tail', ...made.args], { stdout, onSignal })
    expect(await within(() => said.includes('README.md'))).toBeTruthy()
    await appendFile(made.file('events.jsonl'), event('run-2', 10, { event: 'command', head: 'npm test', exit: 0 }))
    expect(await within(() => said.includes('npm test exit 0'))).toBeTruthy()
    expect(said.match(/README/g)).toHaveLength(1)
    stop()
    expect((await following).code).toBe(0)
  })

  it.each([
    [['runs', 'show'], 64, 'name the run'],
    [['runs', 'dance'], 64, 'write show ID, tail, or nothing'],
    [['runs', 'tail', 'x'], 64, 'tail takes no id'],
    [['runs', '--lines', '0'], 64, 'whole number'],
    [['runs', '--file', '/none/audit.jsonl'], 66, 'it is not there'],
    [['runs', '--nats'], 78, 'audit.nats.url is not set'],
  ])('%j ends with %d', async (argv, code, words) => {
    const done = await dispatched(argv)
    expect(done.code).toBe(code)
    expect(done.stderr).toContain(words)
  })

  it('says that it knows nothing of a run', async () => {
    await using made = await files()
    expect(await dispatched(['runs', 'show', 'none', ...made.args])).toMatchObject({ code: 1, stdout: '' })
  })

  it('asks the running proxy where no file is named', async () => {
    await using s = await scenario({
      policy: 'version: 1\nagents: {coder: {from: [{cidr: 127.0.0.0/8}]}}\nrules: [{id: open, hosts: [open.test]}]\n',
      upstreams: { open: { hosts: ['open.test'], start: ({ certificate }) => startUpstream({ certificate, protocol: 'h1' }) } },
    })
    await s.curl('transparent', 'https://open.test/a', ['--header', 'X-Run-Id: wake-7'])
    await s.audited({ host: 'open.test', type: 'request' })
    const shown = await dispatched(['runs', 'show', 'wake-7', '--listen-admin', `127.0.0.1:${s.ports.admin}`])
    expect(shown.stdout).toMatch(/audit {2}request +GET open\.test\/a 200/)
  })

  it('reads 100,000 events in about a second', async () => {
    await using made = await mkdtempDisposable(join(tmpdir(), 'runs-'))
    const lines = Array.from({ length: 100_000 }, (_, i) =>
      auditLine(record({ id: `r${i}`, time: time(i), runId: `run-${i % 500}`, usage: { meter: 'm', model: 'x', input: 1 } })),
    )
    const file = join(made.path, 'audit.jsonl')
    await writeFile(file, `${lines.join('\n')}\n`)
    const begun = process.cpuUsage()
    const shown = await dispatched(['runs', 'show', 'run-7', '--file', file, '--json'])
    const listed = await dispatched(['runs', '--file', file, '--json', '-n', '1000'])
    const { user, system } = process.cpuUsage(begun)
    expect((JSON.parse(shown.stdout) as { steps: object[] }).steps).toHaveLength(200)
    expect(JSON.parse(listed.stdout)).toHaveLength(500)
    // Twice the work in twice the time that is allowed, and as much again for a machine with other work; the figure is of the page.
    expect((user + system) / 1e6).toBeLessThan(4)
  })
})
