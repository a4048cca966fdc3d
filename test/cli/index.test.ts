import { describe, expect, it } from 'vitest'
import { commands } from '#cli/index.ts'
import { settingKeys } from '#config/setting-keys.ts'
import { dispatched } from '../kit/dispatched.ts'

const doors = ['dns', 'http', 'https', 'proxy', 'metrics', 'admin']

describe('a mistake on the command line', () => {
  it.each([
    ['a command that is not there', ['serve'], 64, 'there is no command "serve"'],
    ['a command that is nearly there', ['chekc'], 64, '(did you mean "check"?)'],
    ['an option that is not there', ['check', '--fast'], 64, 'check: there is no option --fast; see'],
    ['an option that is nearly there', ['check', '--polices', 'x'], 64, '(did you mean "--policies"?)'],
    ['an option without its value', ['check', '-c'], 64, '--config takes a value; see'],
    ['an option with a value too many', ['check', '--json=1'], 64, '--json takes no value; see'],
    ['a value that begins with a dash', ['ca', 'init', '--days', '-3'], 64, 'as --days=-…; see'],
    ['a word too many', ['run', 'fast'], 64, '"fast" is one word too many; see'],
    ['a form of variables that is not there', ['env', '--format', 'toString'], 64, '--format takes shell, k8s, dotenv; see'],
    ['a part of the bundle that is not there', ['ca', 'bundle', '--only', 'theirs'], 64, '--only takes ours; see'],
    ['a method that is none', ['explain', '-a', 'local', '-X', 'get', 'https://a.test/'], 64, 'write it in upper case'],
    [
      'a file that cannot be made',
      ['schema', '--out', 'policies'],
      73,
      'policies: cannot be written: it is a directory (EISDIR)',
    ],
    [
      'an admin token that is not there',
      ['credentials', '--admin-token', 'none'],
      66,
      'none: cannot be read: it is not there (ENOENT)',
    ],
    ['a policy that is one file', ['check', 'policies/default.yaml'], 1, 'it is no directory (ENOTDIR); name a directory'],
    [
      'settings that leave every door shut',
      ['run', ...doors.flatMap((name) => [`--listen-${name}`, 'off'])],
      78,
      'leave one open',
    ],
    [
      'run with files it cannot use',
      ['run', '--audit-file', 'policies', '--admin-token', 'none'],
      78,
      'policies audit.file: cannot be used',
    ],
    [
      'a state whose password is not there',
      ['state', 'copy', '--state', 'redis://127.0.0.1:1/0', '--redis-password', 'none'],
      78,
      'none redis.password: cannot be used: it is not there (ENOENT)',
    ],
    ['explain without a URL', ['explain'], 64, 'give a URL'],
    [
      'explain for nobody',
      ['explain', '-a', 'nobody', 'https://api.github.com/'],
      64,
      'no agent is called "nobody"; there is local',
    ],
    ['ca rotate without a step', ['ca', 'rotate'], 64, 'say one of --stage, --activate and --retire'],
    ['ca without a verb', ['ca'], 64, 'say init, status, bundle or rotate'],
    ['a setting that cannot be', ['check', '--listen-dns', 'everywhere'], 78, '"everywhere" is not a place to listen'],
    ['a settings file that is not there', ['check', '--config', 'none.yaml'], 78, 'none.yaml'],
  ])('is told in one line: %s', async (_name, args, code, text) => {
    const done = await dispatched(args)
    expect(done.stderr + done.stdout).toContain(text)
    expect(done.code).toBe(code)
  })
})

describe('--help', () => {
  it.each(commands.map(({ name }) => name))('of %s fits its columns, and knows what each option means', async (name) => {
    const { code, stdout } = await dispatched([name, '--help'])
    const rows = stdout.split('\n').filter((row) => /^ {2}(?:-\w, | {4})--/.test(row))
    expect(code).toBe(0)
    expect(rows.filter((row) => !/^ {2}(?:-\w, | {4})--[\w-]+(?: VALUE)? {2,}\S/.test(row))).toEqual([])
    expect(rows.at(-1)).toContain('--help')
  })

  it('of run has every setting with its default, and that of another command only what it is about', async () => {
    const run = (await dispatched(['run', '--help'])).stdout
    for (const { flag } of settingKeys) expect(run).toContain(`--${flag} VALUE`)
    expect(run).toContain('DNS over UDP and TCP (default 127.0.0.1:1053)')
    const check = (await dispatched(['check', '--help'])).stdout
    expect(check).toContain('--SETTING VALUE')
    expect(check).not.toContain('--redis-prefix')
  })

  it('shows no setting that is not there', () => {
    const known = new Set(['config', ...settingKeys.map(({ flag }) => flag)])
    for (const { settings = [] } of commands) expect(settings.filter((each) => !known.has(each))).toEqual([])
  })
})
