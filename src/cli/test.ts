import { readdir, stat } from 'node:fs/promises'
import { dirname, isAbsolute, join, resolve } from 'node:path'
import { fileFault } from '#base/file-fault.ts'
import { formatIssue } from '#config/issue.ts'
import type { Issue } from '#config/issue.ts'
import { loadPolicyAt, testFilePattern } from '#config/load.ts'
import type { Snapshot } from '#contracts/snapshot.ts'
import { runTests, untested } from '#policy-tools/run-tests.ts'
import type { SuiteResult } from '#policy-tools/run-tests.ts'
import { readTests } from '#policy-tools/test-file.ts'
import type { TestSuite } from '#policy-tools/test-file.ts'
import { countOf, printReport, reportForms } from '#policy-tools/test-report.ts'
import type { Coverage, ReportForm } from '#policy-tools/test-report.ts'
import { exit, CommandFailure, line, UsageError } from './command.ts'
import type { Command, Input, Terminal } from './command.ts'
import { readNamed, writeNamed } from './files.ts'
import { readSettings, settingHelp, settingOptions } from './settings.ts'

export const test: Command = {
  name: 'test',
  summary: 'test what a policy allows and refuses, by the *.test.yaml beside it',
  usage: '[options] [PATH…]',
  options: {
    ...settingOptions,
    against: { type: 'string' },
    run: { type: 'string' },
    strict: { type: 'boolean' },
    tap: { type: 'boolean' },
    junit: { type: 'boolean' },
    json: { type: 'boolean' },
    out: { type: 'string', short: 'o' },
  },
  help: {
    ...settingHelp,
    against: 'test this policy, a file or a directory, in place of the one that each test file names',
    run: 'only cases whose title or request has this text in it',
    strict: 'a rule that no test decides fails too',
    tap: 'print TAP 13',
    junit: 'print JUnit XML',
    json: 'for scripts',
    out: 'write to this file instead',
  },
  words: 1000,
  settings: ['config', 'policies'],
  examples: ['iron-proxy test policies/', 'iron-proxy test --junit --out report.xml policies/crew.test.yaml'],
  async run(input, terminal) {
    const { against, run, strict, tap: _, junit: __, json: ___, out, ...values } = input.values
    const form = formOf(input)
    const { settings } = await readSettings({ ...input, values }, terminal)
    if (!settings) return exit.config
    const paths = input.positionals.length > 0 ? input.positionals : [settings.policies]
    const files = (await Promise.all(paths.map(testFilesAt))).flat()
    if (files.length === 0) throw new CommandFailure(`${paths.join(', ')}: there is no *.test.yaml`, exit.noInput)
    const policies = await readAll(files, typeof against === 'string' ? against : undefined, terminal)
    if (!policies) return exit.config
    const coverage: Coverage[] = []
    const suites: SuiteResult[] = []
    for (const { name, snapshot, tests } of policies) {
      const tested = tests.map((suite) => runTests(snapshot, chosen(suite, run)))
      suites.push(...tested)
      // Cases that were left out decide rules too.
      if (run === undefined)
        coverage.push({ policy: name, rules: snapshot.policy.rules.length, untested: untested(snapshot, tested) })
    }
    const report = { suites, coverage }
    const text = printReport(report, form)
    if (typeof out === 'string') await writeNamed(out, `${text}\n`)
    else line(terminal.stdout, text)
    const gaps = coverage.some((each) => each.untested.length > 0)
    return countOf(report).failed > 0 || (strict && gaps) ? exit.findings : exit.ok
  },
}

function formOf({ values }: Input): ReportForm {
  const [form = 'text', other] = reportForms.filter((each) => values[each] === true)
  if (other !== undefined) throw new UsageError(`give one of --${form} and --${other}`)
  return form
}

/** A policy and the test files that are about it. */
interface Tested {
  /** As it was named first. */
  readonly name: string
  readonly snapshot: Snapshot
  readonly tests: TestSuite[]
}

/** Reads tests and the policies that they name; says what is wrong with any of them, and then there is nothing. */
async function readAll(
  files: readonly string[],
  against: string | undefined,
  { stderr }: Terminal,
): Promise<readonly Tested[] | undefined> {
  const policies = new Map<string, Tested | undefined>()
  let sound = true
  const say = (issues: readonly Issue[]): void => {
    sound = false
    for (const issue of issues) if (issue.severity === 'error') line(stderr, formatIssue(issue))
  }
  for (const file of new Set(files)) {
    const tests = readTests(file, await readNamed(file))
    if (tests.issues.length > 0) {
      say(tests.issues)
      continue
    }
    const named = tests.policy ?? ''
    const name = against ?? (isAbsolute(named) ? named : join(dirname(file), named))
    const key = resolve(name)
    if (!policies.has(key)) {
      const { snapshot, issues } = await loadPolicyAt(name)
      policies.set(key, snapshot && { name, snapshot, tests: [] })
      if (!snapshot) say(issues)
    }
    policies.get(key)?.tests.push(tests)
  }
  return sound ? [...policies.values()].filter((each) => each !== undefined) : undefined
}

/** The cases that have this text in their title or request. */
function chosen(suite: TestSuite, text: unknown): TestSuite {
  if (typeof text !== 'string') return suite
  const cases = suite.cases.filter(({ title = '', method, target }) =>
    `${title}\n${'url' in target ? `${method} ${target.url}` : target.name}`.includes(text),
  )
  return { ...suite, cases }
}

/** A test file as it is named, or all of them at any depth below a directory, in the order of their names. */
async function testFilesAt(path: string): Promise<readonly string[]> {
  try {
    if ((await stat(path)).isFile()) return [path]
    const names = await readdir(path, { recursive: true })
    return names
      .filter((name) => testFilePattern.test(name) && !/(?:^|[/\\])(?:\.|node_modules[/\\])/.test(name))
      .toSorted()
      .map((name) => join(path, name))
  } catch (error) {
    throw new CommandFailure(`${path}: cannot be read: ${fileFault(error)}`, exit.noInput)
  }
}
