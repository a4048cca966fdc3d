import { mkdtempDisposable, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { dispatched } from '../kit/dispatched.ts'
import { lineOf } from '../policy-tools/traffic.ts'

async function folder() {
  const made = await mkdtempDisposable(join(tmpdir(), 'iron-proxy-replay-'))
  const edited = join(made.path, 'edited.yaml')
  const audit = join(made.path, 'audit.ndjson')
  const crew = await readFile('policies/examples/crew.yaml', 'utf8')
  await writeFile(edited, crew.replace('methods: [DELETE]', 'methods: [DELETE, PUT]'))
  const seen = { agent: 'devbot', host: 'api.github.com', verdict: 'allow', code: undefined, rule: 'github-api' } as const
  const lines = [lineOf({ ...seen, path: '/user' }), lineOf({ ...seen, method: 'PUT', path: '/repos/o/n' }), 'no record', '']
  await writeFile(audit, lines.join('\n'))
  return { edited, audit, [Symbol.asyncDispose]: () => made[Symbol.asyncDispose]() }
}

describe('iron-proxy replay', () => {
  it('shows what an edit would have changed, and exits with 1', async () => {
    await using at = await folder()
    expect(await dispatched(['replay', '--policy', at.edited, at.audit])).toEqual({
      code: 1,
      stdout: [
        '1 × devbot to api.github.com: allow by rule github-api → deny by rule no-repo-deletion (rule_denied)',
        '    such as PUT https://api.github.com/repos/o/n, 01JD0000000000000000000000 at 2026-01-01T00:00:00.000Z',
        '2 requests decided again: 1 would end otherwise',
        '',
      ].join('\n'),
      stderr: 'iron-proxy replay: 1 lines are no audit records\n',
    })
    const same = await dispatched(['replay', '--policy', 'policies/examples/crew.yaml', '--json', at.audit])
    expect(same.code).toBe(0)
    expect(JSON.parse(same.stdout)).toEqual({ records: 3, decided: 2, changed: 0, changes: [] })
  })

  it.each([
    [['replay', '--policy', 'none', '-'], 78, 'none: the policies cannot be read'],
    [['replay', '--policy', 'policies/examples/crew.yaml', 'none'], 66, 'none: cannot be read'],
    [['replay', '--policy', 'policies/examples/crew.yaml'], 64, 'name an audit file'],
    [['diff', 'policies'], 64, 'give two policies'],
    [['diff', 'policies', 'none'], 78, 'none: the policies cannot be read'],
  ])('%j is refused', async (args, expected, text) => {
    const { code, stderr } = await dispatched(args)
    expect(stderr).toContain(text)
    expect(code).toBe(expected)
  })
})

describe('iron-proxy diff', () => {
  it('shows a request for each difference, and exits with 1 where there is one', async () => {
    await using at = await folder()
    const crew = 'policies/examples/crew.yaml'
    const { code, stdout } = await dispatched(['diff', crew, at.edited])
    expect(stdout).toContain(
      'devbot: allow by rule github-api with credentials github → deny by rule no-repo-deletion (rule_denied)',
    )
    expect(stdout).toContain('    PUT https://api.github.com/repos/x/x')
    expect(code).toBe(1)
    expect(await dispatched(['diff', crew, crew])).toMatchObject({ code: 0 })
    const json = JSON.parse((await dispatched(['diff', '--json', crew, at.edited])).stdout) as { differences: unknown[] }
    expect(json.differences[0]).toMatchObject({ agents: ['devbot'], count: expect.any(Number) as number })
  })
})
