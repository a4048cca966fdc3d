import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { makeRig, missing, type Rig } from './rig.ts'

let rig: Rig

beforeEach(async () => {
  rig = await makeRig()
})

afterEach(async () => {
  await rig[Symbol.asyncDispose]()
})

const skip = missing.length > 0
const because = skip ? ` (skipped: no ${missing.join(', ')})` : ''

interface Said {
  readonly id: string
  readonly by?: string
  readonly as?: string
  readonly body?: string
}

const said = ({ id, by = 'ann', as = 'MEMBER', body = `words of ${id}` }: Said) => ({
  id,
  body,
  url: `https://github.com/crew/homelab/pull/1#${id}`,
  path: 'a.ts',
  authorAssociation: as,
  author: { login: by },
})

/** What GitHub answers: one pull request with one thread. */
const answerOf = (comments: readonly Said[], thread: readonly Said[] = [], isResolved = false, branch = 'testbot/topic') => ({
  data: {
    viewer: { login: 'crew-bot' },
    search: {
      pageInfo: { hasNextPage: false },
      nodes: [
        {
          number: 1,
          headRefName: branch,
          repository: { nameWithOwner: 'crew/homelab' },
          comments: { nodes: comments.map(said) },
          reviews: { nodes: [] },
          reviewThreads: { nodes: [{ isResolved, comments: { nodes: thread.map(said) } }] },
        },
      ],
    },
  },
})

describe.skipIf(skip)(`check-pr-comments.sh${because}`, () => {
  /** Runs the hook with GitHub answering this. */
  async function check(answer: unknown, env: Readonly<Record<string, string>> = {}) {
    await rig.write('answer.json', JSON.stringify(answer))
    await rig.fake('gh', `printf '%s\\n' "$@" >"${rig.folder}/asked"; cat "${rig.folder}/answer.json"`)
    return rig.script('check-pr-comments.sh', [], {
      env: { AGENT_REPOS: 'crew/homelab crew/tools https://elsewhere.example/x.git', ...env },
    })
  }

  test('wakes once for each new comment, with who said what and where', async () => {
    const first = await check(answerOf([{ id: 'c1' }], [{ id: 't1', by: 'bob' }]))
    expect(first.code).toBe(2)
    expect(first.stderr).toContain('- crew/homelab#1 by bob, a.ts: words of t1\n  https://github.com/crew/homelab/pull/1#t1')
    expect(JSON.parse(first.stdout)).toEqual({ decision: 'block', reason: first.stderr.trim() })
    expect(readFileSync(join(rig.folder, 'asked'), 'utf8')).toContain(
      'q=is:pr is:open archived:false author:@me repo:crew/homelab repo:crew/tools\n',
    )

    expect(await check(answerOf([{ id: 'c1' }], [{ id: 't1' }]))).toMatchObject({ code: 0, stderr: '', stdout: '' })
    const more = await check(answerOf([{ id: 'c1' }, { id: 'c2' }], [{ id: 't1' }]))
    expect(more.code).toBe(2)
    expect(more.stderr).toContain('words of c2')
    expect(more.stderr).not.toContain('words of c1')
    // What was left out for once is not new when it is back.
    expect((await check(answerOf([]))).code).toBe(0)
    expect((await check(answerOf([{ id: 'c1' }, { id: 'c2' }], [{ id: 't1' }]))).code).toBe(0)
  })

  test.each([
    ['its own words', answerOf([{ id: 'c1', by: 'crew-bot' }]), {}],
    [
      'its own words under a login that it shares',
      answerOf([{ id: 'c1', by: 'crew-bot', body: 'done [testbot]' }]),
      { PR_SIGNATURE: '[testbot]' },
    ],
    ['threads that are resolved', answerOf([], [{ id: 't1' }], true), {}],
    [
      'pull requests of others under a shared login',
      answerOf([{ id: 'c1' }], [], false, 'devbot/x'),
      { PR_BRANCH_PREFIX: 'testbot/' },
    ],
    ['strangers', answerOf([{ id: 'c1', as: 'NONE' }]), {}],
    ['nothing, without repositories', answerOf([{ id: 'c1' }]), { AGENT_REPOS: '' }],
  ])('does not wake for %s', async (_case, answer, env) => {
    expect(await check(answer, env)).toMatchObject({ code: 0, stdout: '', stderr: '' })
  })

  test.each([
    ['another’s words under a login that it shares', answerOf([{ id: 'c1', by: 'crew-bot' }]), { PR_SIGNATURE: '[testbot]' }],
    ['strangers, where any may speak', answerOf([{ id: 'c1', as: 'NONE' }]), { PR_VOICES: 'any' }],
  ])('wakes for %s', async (_case, answer, env) => {
    expect((await check(answer, env)).code).toBe(2)
  })

  test('says loudly when GitHub cannot be asked, and forgets nothing meanwhile', async () => {
    await check(answerOf([{ id: 'c1' }]))
    await rig.fake('gh', 'echo "gh: Field reviewThreads is not there" >&2; exit 1')
    const failed = await rig.script('check-pr-comments.sh', [], { env: { AGENT_REPOS: 'crew/homelab' } })
    expect(failed.code).toBe(1)
    expect(failed.stderr).toContain('could not look for new comments: gh: Field reviewThreads is not there')
    expect((await check({ errors: [{ message: 'no' }] })).code).toBe(1)
    expect((await check({ data: { viewer: { login: 'x' }, search: { nodes: [{ number: 1 }], pageInfo: {} } } })).code).toBe(1)
    expect((await check(answerOf([{ id: 'c1' }]))).code).toBe(0)
  })
})
