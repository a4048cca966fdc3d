/** Reads a `*.test.yaml` into single cases, each with its place in the file. */
import { readYaml } from '#config/document.ts'
import type { YamlFile } from '#config/document.ts'
import { pathText } from '#config/issue.ts'
import type { Issue } from '#config/issue.ts'
import { keysAt } from '#config/keys.ts'
import { findLiveKeys } from '#config/live-key.ts'
import { mistakes } from '#config/mistakes.ts'
import type { Position } from '#policy/types.ts'
import { testFileSchema } from './test-schema.ts'
import type { ExpectedVerdict, TestFile, TestRow } from './test-schema.ts'

/** Bytes of the longest test file. */
export const largestTestFile = 16 * 1024 * 1024

/** One question to the policy and what it must answer. */
export interface Case {
  readonly title: string | undefined
  readonly position: Position
  /** `undefined`: the only agent of the policy. */
  readonly agent: string | undefined
  readonly method: string
  readonly target: { readonly url: string } | { readonly name: string }
  readonly headers: NonNullable<TestRow['headers']>
  readonly expected: ExpectedVerdict
}

export interface TestSuite {
  readonly file: string
  /** As the file writes it; `undefined`: the directory that the file is in. */
  readonly policy: string | undefined
  readonly cases: readonly Case[]
  /** Anything here means that the file cannot be used. */
  readonly issues: readonly Issue[]
}

/** Reads one test file. Never throws: what is wrong is an issue, and then there are no cases. */
export function readTests(file: string, bytes: Buffer): TestSuite {
  const yaml = readYaml(file, bytes, largestTestFile)
  const refuse = (issues: readonly Issue[]): TestSuite => ({ file, policy: undefined, cases: [], issues })
  if (yaml.data === undefined || yaml.issues.length > 0) return refuse(yaml.issues)
  const issue = (path: readonly PropertyKey[], message: string, key?: string): Issue => ({
    severity: 'error',
    position: yaml.locate(path, key),
    path: pathText(path),
    message,
  })
  const [live] = findLiveKeys(yaml.data)
  if (live) return refuse([issue(live.path, `this looks like ${live.looksLike}; a test holds stubs only`)])
  const parsed = testFileSchema.safeParse(yaml.data)
  if (!parsed.success) {
    const found = mistakes(parsed.error, yaml.data, (path) => keysAt(testFileSchema, yaml.data, path))
    return refuse(found.map(({ path, message, key }) => issue(path, message, key)))
  }
  const cases: Case[] = []
  const issues: Issue[] = []
  for (const { row, path } of rowsOf(parsed.data)) {
    if ((row.url === undefined) === (row.name === undefined)) issues.push(issue(path, 'write one of url and name'))
    else if (row.name !== undefined && (row.method ?? row.headers) !== undefined)
      issues.push(issue(path, 'a name is asked for without a method and without headers; write a url, or remove these'))
    else cases.push(...casesOf(row, path, yaml))
  }
  return issues.length > 0 ? refuse(issues) : { file, policy: parsed.data.policy, cases, issues }
}

function* rowsOf({ cases }: TestFile): Generator<{ readonly row: TestRow; readonly path: readonly PropertyKey[] }> {
  for (const [index, { table, ...shared }] of cases.entries()) {
    const path = ['cases', index]
    if (!table) yield { row: shared, path }
    for (const [at, row] of (table ?? []).entries()) yield { row: joined(shared, row), path: [...path, 'table', at] }
  }
}

/** A row says anew what it says; of url and name it says both by saying one. */
function joined(shared: TestRow, row: TestRow): TestRow {
  const { url, name, ...rest } = shared
  const target = row.url === undefined && row.name === undefined ? { url, name } : {}
  const title = shared.case === undefined || row.case === undefined ? {} : { case: `${shared.case}: ${row.case}` }
  return { ...rest, ...target, ...row, ...title }
}

function casesOf(row: TestRow, path: readonly PropertyKey[], { locate }: YamlFile): Case[] {
  const { agent, method = 'GET', url, name, headers = {}, expect = 'deny' } = row
  const expected = typeof expect === 'string' ? { verdict: expect } : expect
  const position = locate(path)
  const targets = [...listOf(url).map((each) => ({ url: each })), ...listOf(name).map((each) => ({ name: each }))]
  const agents = agent === undefined ? [undefined] : listOf(agent)
  return agents.flatMap((who) =>
    listOf(method).flatMap((verb) =>
      targets.map((target) => ({ title: row.case, position, agent: who, method: verb, target, headers, expected })),
    ),
  )
}

function listOf<Item>(value: Item | readonly Item[] | undefined): readonly Item[] {
  if (value === undefined) return []
  return Array.isArray(value) ? (value as readonly Item[]) : [value as Item]
}
