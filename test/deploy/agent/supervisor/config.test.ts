import { describe, expect, it } from 'vitest'
import { ConfigError, readConfig } from '../../../../deploy/agent/supervisor/config.ts'

const harnesses = ['claude-code', 'codex', 'opencode', 'gemini-cli', 'custom']
const read = (text: string) => readConfig(text, harnesses)
const names = (text: string): readonly string[] => read(text).agents.map(({ name }) => name)

function problemsOf(text: string): readonly string[] {
  try {
    read(text)
    return []
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.problems
  }
}

describe('the config of agents', () => {
  it('has a default for all but the harness', () => {
    expect(read('[[agents]]\nharness = "claude-code"\n[other]\nx = 1')).toEqual({
      agents: [
        {
          name: 'claude-code',
          type: 'native',
          harness: 'claude-code',
          prompt: '',
          promptFile: undefined,
          workdir: '/home/agent/workspace',
          restart: 'no',
          maxRestarts: 0,
          timeout: 0,
          gracePeriod: 30_000,
          session: 'claude-code',
          env: {},
        },
      ],
      warnings: [],
    })
  })

  it('takes the table that was written for one agent before, and says how it is written now', () => {
    const { agents, warnings } = read('[agent]\nharness = "codex"\nrestart = "always"\ntimeout = "1h"')
    expect(agents).toMatchObject([{ name: 'codex', restart: 'always', timeout: 3_600_000 }])
    expect(warnings).toEqual(['[agent] is how one agent was written before; write [[agents]]'])
  })

  it.each([
    ['one without a name', '[[agents]]\nharness = "codex"', ['codex']],
    ['replicas', '[[agents]]\nharness = "codex"\nname = "rev"\nreplicas = 3', ['rev-0', 'rev-1', 'rev-2']],
    [
      'several without a name',
      '[[agents]]\nharness = "codex"\n[[agents]]\nharness = "codex"\nreplicas = 2',
      ['codex-0', 'codex-1', 'codex-2'],
    ],
    ['none', '', []],
  ])('names %s', (_case, text, expected) => {
    expect(names(text)).toEqual(expected)
  })

  it('gives each replica its own session, without what tmux would change', () => {
    const sessions = read(
      '[[agents]]\nharness = "codex"\nname = "a.b"\nsession = "s"\nreplicas = 2\n[[agents]]\nharness = "codex"\nname = "x.y"',
    )
    expect(sessions.agents.map(({ session }) => session)).toEqual(['s-0', 's-1', 'x_y'])
  })

  it('tells every mistake at once', () => {
    expect(
      problemsOf(`
[[agents]]
harness = "emacs"
restart = "sometimes"
max_restarts = -1
timeout = "soon"
memory = "lots"
pid_limit = -3
replicas = 0
colour = "red"
extra_packages = ["x"]
env = {A = 1}
[[agents]]
name = "../etc"
type = "sandboxed"
extra_packages = [""]
`),
    ).toEqual([
      'agents[0].harness: there is no emacs; there are claude-code, codex, opencode, gemini-cli, custom',
      'agents[0].extra_packages: a native agent has what its machine has',
      'agents[0].memory: is a size such as 512MiB',
      'agents[0].pid_limit: is a whole number of at least 0',
      'agents[0].restart: is one of no, on-failure, always',
      'agents[0].max_restarts: is a whole number of at least 0',
      'agents[0].timeout: is a duration such as 30s or 1h30m',
      'agents[0].env: is a table of variables and their texts',
      'agents[0].colour: there is no such key',
      'agents[0].replicas: is a whole number of at least 1',
      'agents[1].harness: is missing',
      'agents[1].extra_packages: is a list of names',
      'agents[1].name: is letters, digits, dots, dashes and underscores',
    ])
  })

  it.each([
    [
      'two names that the API could not tell apart',
      '[[agents]]\nharness = "codex"\nname = "Rev"\n[[agents]]\nharness = "codex"\nname = "rev"',
      ['agents: two have the name rev'],
    ],
    [
      'two sessions that tmux could not',
      '[[agents]]\nharness = "codex"\nname = "a.b"\n[[agents]]\nharness = "codex"\nname = "a_b"',
      ['agents: two have the session a_b'],
    ],
    ['what is no TOML', '[[agents]\nx', [expect.stringMatching(/^line 1, column \d+: /)]],
    ['agents that are no list', 'agents = 3', ['agents: write [[agents]], one for each']],
  ])('refuses %s', (_case, text, expected) => {
    expect(problemsOf(text)).toEqual(expected)
  })
})
