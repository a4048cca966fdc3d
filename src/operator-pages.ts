/** What the pages for operators are made of, out of the rooms. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Pages } from '#admin/server.ts'
import { explain, explanationText, lineReader } from '#config/explain.ts'
import { formatIssue } from '#config/issue.ts'
import { testFilePattern } from '#config/load.ts'
import { operatorRecord } from '#contracts/own-records.ts'
import type { AuditRecord } from '#contracts/audit-record.ts'
import { fileTail } from '#observe/file-tail.ts'
import { ulids } from '#observe/ids.ts'
import { systemClock as clock } from '#observe/system-clock.ts'
import { pages } from '#page/routes.ts'
import type { PageSources } from '#page/sources.ts'
import { runTests } from '#policy-tools/run-tests.ts'
import { readTests } from '#policy-tools/test-file.ts'
import { printReport } from '#policy-tools/test-report.ts'
import type { Rooms } from './build.ts'
import type { Life } from './operators.ts'

/** Bytes of the end of a file that a page reads, and milliseconds for which pages share what was read. */
const tailBytes = 2 * 1024 * 1024
const shareMs = 1_000

/** The pages of the admin listener. */
export function operatorPages(
  rooms: Rooms,
  life: Life,
  seen: Pick<PageSources, 'checks' | 'status'>,
): Pages & { readonly stop: () => void } {
  const { settings, around, budgets, custody, inForce, trail } = rooms
  const ids = ulids(() => clock.now())
  const { file } = settings.audit
  const files = [...(file === undefined ? [] : [file]), ...settings.runs.events, settings.runs.memory ?? ''].filter(Boolean)
  const lines = shared(async () => [
    ...(await Promise.all(files.map((each) => fileTail(each, tailBytes)))).flat(),
    ...trail.recent(),
  ])
  let tested: { readonly hash: string; readonly text: Promise<string> } | undefined
  return pages({
    ...seen,
    clock,
    version: around.version,
    snapshot: () => inForce.snapshot,
    sources: () => inForce.sources,
    issues: () => inForce.issues.map(formatIssue),
    lastReload: life.lastReload,
    recent: shared(() => trail.recent().map((line) => JSON.parse(line) as AuditRecord)),
    lines,
    budgets: () => budgets.rows(),
    setBudget: (change) => budgets.set(change),
    credentials: () => custody.inventory(),
    beginLogin: (credential) => custody.beginLogin(credential),
    async explain(agent, method, url) {
      const { snapshot, sources } = inForce
      if (!snapshot) return 'no policy is in force'
      const explanation = explain(snapshot, agent, method, url, await lineReader(sources.map((each) => each.file)))
      return 'problem' in explanation ? explanation.problem : explanationText(explanation)
    },
    tests() {
      const hash = inForce.snapshot?.hash ?? ''
      if (tested?.hash !== hash) tested = { hash, text: testsText(rooms) }
      return tested.text
    },
    reload: life.reload,
    acted: (act) => trail.write(operatorRecord(ids.next(), clock.now(), act)),
  })
}

/** The tests that stand beside the policies, asked of the one in force. */
async function testsText({ settings, inForce: { snapshot } }: Rooms): Promise<string> {
  if (!snapshot) return 'no policy is in force'
  const names = (await readdir(settings.policies).catch(() => [])).filter((name) => testFilePattern.test(name)).toSorted()
  if (names.length === 0) return 'no *.test.yaml stands beside the policies'
  const suites = await Promise.all(
    names.map(async (name) => readTests(name, await readFile(join(settings.policies, name)).catch(() => Buffer.alloc(0)))),
  )
  const problems = suites.flatMap(({ issues }) => issues.map(formatIssue))
  return [...problems, printReport({ suites: suites.map((suite) => runTests(snapshot, suite)), coverage: [] }, 'text')].join('\n')
}

/** Pages that are open together read once. */
function shared<Read>(read: () => Read): () => Read {
  let last: { readonly at: number; readonly value: Read } | undefined
  return () => {
    const at = clock.elapsed()
    if (!last || at - last.at > shareMs) last = { at, value: read() }
    return last.value
  }
}
