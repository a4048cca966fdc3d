import { describe, expect, test } from 'vitest'
import { curl, git, have, havePython, node, run } from './clients.ts'

test('a program sees nothing of our environment but the PATH', async () => {
  const done = await node('console.log(Object.keys(process.env).sort().join())', { env: { GIVEN: '1' } })
  expect(done.stdout.trim()).toBe('GIVEN,HOME,PATH')
})

test('output, input and exit code are those of the program', async () => {
  expect(await run('sh', ['-c', 'cat; echo wrong >&2; exit 3'], { input: 'in' })).toMatchObject({
    code: 3,
    stdout: 'in',
    stderr: 'wrong\n',
  })
})

test('a program that hangs is ended in time, together with its children', async () => {
  const done = await run('sh', ['-c', 'sleep 20 & sleep 20'], { timeout: 100 })
  expect(done.code).toBe(-1)
  expect(done.ms).toBeLessThan(5000)
})

test('a program that is not there is known beforehand', async () => {
  expect([have('git'), have('no-such-program')]).toEqual([true, false])
  expect(await havePython('no_such_module')).toBe(false)
  await expect(run('no-such-program', [])).rejects.toThrow('ENOENT')
})

describe('the real programs answer', () => {
  test.each([
    ['curl', () => curl(['--version'])],
    ['git', () => git(['--version'])],
  ])('%s', async (name, start) => {
    expect((await start()).stdout).toMatch(new RegExp(`^${name} `))
  })
})
