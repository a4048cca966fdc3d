import { copyFile, mkdtempDisposable, readdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { checkJson, checkPolicies, checkText } from '#config/check.ts'

const examples = (await readdir('policies/examples')).filter((name) => /^(?!crew)[\w-]+\.yaml$/.test(name))

async function checkFile(file: string, exists = true) {
  await using made = await mkdtempDisposable(join(tmpdir(), 'check-'))
  await copyFile(file, join(made.path, 'policy.yaml'))
  const report = await checkPolicies(made.path, () => exists)
  return { report, text: checkText(report).replaceAll(`${made.path}/`, '') }
}

describe('the check', () => {
  it('of the default policy says that nothing is allowed', async () => {
    expect(checkText(await checkPolicies('policies'))).toBe(
      'policies/default.yaml:13:1 rules: warning: there is no rule, so every request is refused\n1 file: 1 agent, 0 rules, 0 credentials; 1 warning',
    )
  })

  it('of the policy language by example finds nothing', async () => {
    const { report, text } = await checkFile('policies/examples/crew.yaml')
    expect(report).toMatchObject({ ok: true, counts: { errors: 0, agents: 3, rules: 9, credentials: 5 } })
    expect(report.issues).toEqual([])
    expect(text.split('\n').at(-1)).toBe('1 file: 3 agents, 9 rules, 5 credentials')
  })

  it.each(examples)('of the example %s finds nothing', async (name) => {
    const { report } = await checkFile(join('policies/examples', name))
    expect(report).toMatchObject({ ok: true, issues: [] })
  })

  it('of all examples in one directory finds nothing', async () => {
    await using made = await mkdtempDisposable(join(tmpdir(), 'check-'))
    for (const name of examples) await copyFile(join('policies/examples', name), join(made.path, name))
    const report = await checkPolicies(made.path, () => true)
    expect(report).toMatchObject({ ok: true, issues: [] })
    expect(report.files).toHaveLength(examples.length)
  })

  it('takes a missing secret for an error', async () => {
    const { report, text } = await checkFile('policies/examples/github.yaml', false)
    expect(report.ok).toBe(false)
    expect(text).toBe(
      'policy.yaml:13:5 credentials.github.secret: the file secrets/github-token is missing, empty or cannot be read\n1 file: 1 error; nothing is loaded',
    )
  })

  it('speaks JSON', async () => {
    const { report } = await checkFile('policies/examples/github.yaml', false)
    expect(JSON.parse(checkJson(report))).toMatchObject({
      ok: false,
      counts: { errors: 1, warnings: 0 },
      issues: [{ severity: 'error', path: 'credentials.github.secret', position: { line: 13, column: 5 } }],
    })
  })
})
