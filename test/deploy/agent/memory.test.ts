import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from '@modelcontextprotocol/client'
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { hasNats, startNats } from '../../kit/nats.ts'
import type { Nats } from '../../kit/nats.ts'

const program = join(import.meta.dirname, '..', '..', '..', 'deploy', 'agent', 'memory', 'server.ts')

interface CrewRecord {
  readonly id: string
  readonly type: string
  readonly agent: string
  readonly time: string
  readonly title: string
  readonly run_id?: string
}

/** An agent with its memory, as its client starts it. */
async function startMemory(env: Readonly<Record<string, string>>) {
  const client = new Client({ name: 'test', version: '1' })
  const transport = new StdioClientTransport({
    command: process.execPath,
    args: [program],
    env: { PATH: process.env['PATH'] ?? '', ...env },
    stderr: 'pipe',
  })
  await client.connect(transport)
  const call = async (name: string, args: Record<string, unknown>) => {
    const {
      isError = false,
      content,
      structuredContent,
    } = await client.callTool({ name, arguments: args }).catch((error: Error) => ({
      isError: true,
      content: [{ type: 'text' as const, text: error.message }],
      structuredContent: undefined,
    }))
    const [first] = content as { text: string }[]
    return { isError, text: first?.text ?? '', data: structuredContent }
  }
  return {
    client,
    pid: transport.pid ?? 0,
    call,
    write: async (record: object) => {
      const { isError, text, data } = await call('write_record', { record })
      if (isError) throw new Error(text)
      return data as CrewRecord
    },
    read: async (args: Record<string, unknown>) => {
      const { isError, text, data } = await call('read_records', args)
      if (isError) throw new Error(text)
      return (data as { records: CrewRecord[] }).records
    },
    find: async (query: string) => ((await call('find_records', { query })).data as { records: CrewRecord[] }).records,
    [Symbol.asyncDispose]: () => client.close(),
  }
}

const drafts = {
  decision: {
    type: 'decision',
    title: 'Use one queue',
    tags: ['queue'],
    context: 'Two of them drifted.',
    decision: 'One is enough.',
  },
  incident: {
    type: 'incident',
    title: 'Deploy stood still',
    severity: 'high',
    status: 'open',
    impact: 'Nothing was released for an hour.',
  },
  pattern: { type: 'pattern', title: 'Retry with jitter', problem: 'All came back at once.', solution: 'Wait a random time.' },
  runbook: {
    type: 'runbook',
    title: 'Drain a queue',
    when: 'It grows for ten minutes.',
    steps: ['Stop the writers.', 'Watch it empty.'],
  },
} as const

let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'memory-'))
})

afterAll(() => rm(folder, { recursive: true, force: true }))

/** The same must hold wherever records are kept. */
function behaves(env: () => Record<string, string>): void {
  it('is three tools, each with a strict schema', async () => {
    await using memory = await startMemory({ AGENT_NAME: 'devbot', ...env() })
    const { tools } = await memory.client.listTools()
    expect(tools.map(({ name }) => name)).toEqual(['write_record', 'read_records', 'find_records'])
    for (const { inputSchema } of tools) expect(inputSchema).toMatchObject({ type: 'object', additionalProperties: false })
  })

  it('lets one agent read what another wrote, by type, agent and time', async () => {
    await using devbot = await startMemory({ AGENT_NAME: 'devbot', ...env() })
    await using infrabot = await startMemory({ AGENT_NAME: 'infra.bot', ...env() })
    const first = await devbot.write(drafts.decision)
    expect(first).toMatchObject({ ...drafts.decision, agent: 'devbot' })
    const second = await infrabot.write({ ...drafts.decision, title: 'Use no queue at all' })
    const ids = async (args: object) => (await devbot.read({ type: 'decision', ...args })).map(({ id }) => id)
    expect(await ids({})).toEqual([second.id, first.id])
    expect(await ids({ agent: 'infra.bot' })).toEqual([second.id])
    expect(await ids({ agent: 'infra' })).toEqual([])
    expect(await ids({ since: second.time })).toContain(second.id)
    expect(await ids({ since: new Date(Date.parse(second.time) + 1).toISOString() })).toEqual([])
    expect(await ids({ limit: 1 })).toEqual([second.id])
    expect(await devbot.read({ type: 'pattern' })).toEqual([])
  })

  it('keeps each type, and finds by all words of a query, titles first', async () => {
    await using memory = await startMemory({ AGENT_NAME: 'pmbot', ...env() })
    for (const draft of [drafts.incident, drafts.pattern, drafts.runbook]) {
      const { id } = await memory.write(draft)
      expect(await memory.read({ type: draft.type })).toMatchObject([{ ...draft, id }])
    }
    await memory.write({ ...drafts.pattern, title: 'Wait for it', solution: 'Drain the QUEUE slowly.' })
    expect((await memory.find('drain queue')).map(({ title }) => title)).toEqual(['Drain a queue', 'Wait for it'])
    expect(await memory.find('drain nothing')).toEqual([])
  })

  it('refuses what is no record, and keeps nothing of it', async () => {
    await using memory = await startMemory({ AGENT_NAME: 'strict', ...env() })
    for (const [name, record] of [
      ['another type', { type: 'note', title: 'x' }],
      ['a missing field', { type: 'decision', title: 'x', context: 'y' }],
      ['a field of another type', { ...drafts.pattern, severity: 'low' }],
      ['a forged author', { ...drafts.pattern, agent: 'operator' }],
      ['a forged time', { ...drafts.pattern, time: '2000-01-01T00:00:00Z' }],
      ['too much', { ...drafts.pattern, solution: 'x'.repeat(4001) }],
      ['no steps', { ...drafts.runbook, steps: [] }],
    ] as const)
      expect(await memory.call('write_record', { record }), name).toMatchObject({ isError: true })
    expect(await memory.call('read_records', { type: 'pattern', since: 'yesterday' })).toMatchObject({ isError: true })
    expect(await memory.find('x')).not.toContainEqual(expect.objectContaining({ agent: 'strict' }))
  })

  it('refuses what looks like a live key, and does not repeat it', async () => {
    await using memory = await startMemory({ AGENT_NAME: 'leaky', ...env() })
    const key = `ghp_${randomBytes(18).toString('hex')}`
    const { isError, text } = await memory.call('write_record', {
      record: { ...drafts.pattern, solution: `an example: TOKEN=${key}` },
    })
    expect([isError, text]).toEqual([true, 'this holds what looks like a GitHub token; the memory takes no secrets'])
    expect(await memory.read({ type: 'pattern', agent: 'leaky' })).toEqual([])
  })

  it('writes down the run of its agent', async () => {
    const runFile = join(folder, 'run.json')
    await writeFile(runFile, JSON.stringify({ run_id: 'wake-7' }))
    await using memory = await startMemory({ ...env(), AGENT_NAME: 'onrun', RUN_FILE: runFile })
    expect(await memory.write(drafts.pattern)).toMatchObject({ run_id: 'wake-7' })
  })

  it('takes a decision in the place of one that exists, and of no other', async () => {
    await using memory = await startMemory({ AGENT_NAME: 'devbot', ...env() })
    const { id } = await memory.write(drafts.decision)
    expect(await memory.write({ ...drafts.decision, supersedes: id })).toMatchObject({ supersedes: id })
    const refused = await memory.call('write_record', { record: { ...drafts.decision, supersedes: 'nosuch' } })
    expect(refused).toMatchObject({ isError: true, text: expect.stringContaining('there is no decision with the id nosuch') })
  })
}

describe('the crew’s memory in a file', () => {
  behaves(() => ({ CREW_MEMORY_FILE: join(folder, 'memory', 'records.jsonl'), RUN_FILE: join(folder, 'none.json') }))

  it('is read by nobody else, and survives a broken line', async () => {
    const file = join(folder, 'broken.jsonl')
    await using memory = await startMemory({ AGENT_NAME: 'devbot', CREW_MEMORY_FILE: file })
    const { id } = await memory.write(drafts.pattern)
    expect((await stat(file)).mode & 0o777).toBe(0o600)
    await writeFile(file, `{"id": half a li\n${await readFile(file, 'utf8')}{"type":"note"}\n`)
    expect((await memory.read({ type: 'pattern' })).map((record) => record.id)).toEqual([id])
  })

  it('does not start for nobody', async () => {
    await expect(startMemory({ CREW_MEMORY_FILE: join(folder, 'x') })).rejects.toThrow()
  })
})

// Why it may be skipped: this machine has no nats-server.
describe.skipIf(!hasNats)('the crew’s memory in NATS', () => {
  let nats: Nats

  beforeAll(async () => {
    nats = await startNats()
  })

  afterAll(() => nats[Symbol.asyncDispose]())

  behaves(() => ({ NATS_URL: nats.url, RUN_FILE: join(folder, 'none.json') }))

  it('says so while NATS is gone, and goes on once it is back with all that was written', async () => {
    await using memory = await startMemory({ AGENT_NAME: 'patient', NATS_URL: nats.url })
    const { id } = await memory.write(drafts.runbook)
    await nats.kill()
    const { isError, text } = await memory.call('write_record', { record: drafts.runbook })
    expect([isError, text]).toEqual([true, expect.stringMatching(/^the memory cannot be reached/) as string])
    await nats.restart()
    expect((await memory.read({ type: 'runbook', agent: 'patient' })).map((record) => record.id)).toEqual([id])
  })

  it('ends with its client', async () => {
    const memory = await startMemory({ AGENT_NAME: 'brief', NATS_URL: nats.url })
    await memory.write(drafts.pattern)
    await memory[Symbol.asyncDispose]()
    expect(() => process.kill(memory.pid, 0)).toThrow('ESRCH')
  })
})
