import { readFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { parse, stringify } from 'yaml'
import { compileFiles, loadPolicyAt } from '#config/load.ts'
import { runTests, untested } from '#policy-tools/run-tests.ts'
import { readTests } from '#policy-tools/test-file.ts'
import { filesBelow } from '../house/sources.ts'

const examples = filesBelow('policies', '.yaml').filter((file) => !file.endsWith('.test.yaml'))

async function testsOf(policy: string) {
  const file = policy.replace(/\.yaml$/, '.test.yaml')
  return readTests(file, await readFile(file))
}

describe('every example policy', () => {
  it.each(examples)('%s has tests beside it that pass and decide by each of its rules', async (file) => {
    const [tests, { snapshot }] = await Promise.all([testsOf(file), loadPolicyAt(file)])
    expect(tests.issues).toEqual([])
    if (!snapshot) throw new Error(`${file} does not load`)
    const suite = runTests(snapshot, tests)
    expect(suite.results.flatMap(({ asked, faults }) => faults.map((fault) => `${asked}: ${fault}`))).toEqual([])
    expect(untested(snapshot, [suite])).toEqual([])
  })
})

type RuleText = Record<string, unknown>
interface PolicyText {
  rules: RuleText[]
}

const crew = await readFile('policies/examples/crew.yaml', 'utf8')

/** Every way to remove or weaken a rule that changes what it decides, with what it is called. */
function* mutants(): Generator<readonly [string, (policy: PolicyText) => void]> {
  const { rules } = parse(crew) as PolicyText
  for (const [index, rule] of rules.entries()) {
    const edit = (change: (rule: RuleText) => void) => (policy: PolicyText) => change(policy.rules[index] ?? {})
    const without = (key: string) => edit((each) => delete each[key])
    const id = String(rule['id'])
    yield [`${id} removed`, (policy) => policy.rules.splice(index, 1)]
    for (const key of ['methods', 'paths', 'agents', 'git', 'plain', 'inspect', 'credentials', 'meter', 'effect'])
      if (rule[key] !== undefined) yield [`${id} without ${key}`, without(key)]
    for (const [at, host] of (rule['hosts'] as string[]).entries()) {
      const hosts = (change: (list: string[]) => void) => edit((each) => change(each['hosts'] as string[]))
      if ((rule['hosts'] as string[]).length > 1) yield [`${id} without ${host}`, hosts((list) => list.splice(at, 1))]
      if (rule['effect'] !== 'deny') yield [`${id} with everything below ${host}`, hosts((list) => list.push(`*.${host}`))]
    }
    for (const credential of (rule['credentials'] ?? []) as string[])
      yield [
        `${id} without ${credential}`,
        edit((each) => (each['credentials'] = (each['credentials'] as string[]).filter((one) => one !== credential))),
      ]
    if (rule['effect'] === 'deny') {
      yield [`${id} for one agent only`, edit((each) => (each['agents'] = ['infrabot']))]
      yield [`${id} on one port only`, edit((each) => (each['ports'] = [443]))]
      continue
    }
    yield [`${id} on another port too`, edit((each) => (each['ports'] = [443, 8443]))]
    if (!rule['plain'] && rule['inspect'] !== false) yield [`${id} over plain HTTP too`, edit((each) => (each['plain'] = true))]
    if (rule['credentials'] && !rule['paths'])
      yield [`${id} with foreign credentials`, edit((each) => (each['foreign'] = 'allow'))]
    if (rule['credentials'] && !rule['git'] && !id.includes('token'))
      yield [`${id} with new secrets`, edit((each) => (each['mints'] = 'allow'))]
    if (rule['git']) yield [`${id} pushing anywhere`, edit((each) => ((each['git'] as RuleText)['push'] = ['*/*']))]
    if (rule['methods']) yield [`${id} with another method`, edit((each) => (each['methods'] as string[]).push('PUT', 'GET'))]
    if (rule['paths']) yield [`${id} with every path`, edit((each) => (each['paths'] as string[]).push('/**'))]
    if (!rule['agents']) yield [`${id} for infrabot only`, edit((each) => (each['agents'] = ['infrabot']))]
    else yield [`${id} for infrabot too`, edit((each) => (each['agents'] as string[]).push('infrabot'))]
  }
}

describe('the tests of crew.yaml', async () => {
  const tests = await testsOf('policies/examples/crew.yaml')

  it.each([...mutants()])('fail for %s', async (_name, mutate) => {
    const policy = parse(crew) as PolicyText
    mutate(policy)
    const file = 'policies/examples/crew.yaml'
    const { snapshot } = await compileFiles('policies/examples', [{ file, bytes: Buffer.from(stringify(policy)) }])
    // A mutant that does not even load is found by `check`.
    if (!snapshot) return
    const { results } = runTests(snapshot, tests)
    expect(results.filter(({ faults }) => faults.length > 0).length).toBeGreaterThan(0)
  })
})
