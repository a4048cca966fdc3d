import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { describe, expect, test } from 'vitest'
import { Secret } from '#base/secret.ts'
import { createLog } from '#observe/log.ts'

function capture(level: Parameters<typeof createLog>[0] = 'debug') {
  const lines: string[] = []
  return { lines, log: createLog(level, { write: (line) => lines.push(line) }), last: () => JSON.parse(lines.at(-1) ?? '') }
}

test('a line is JSON with ISO time, the level by name and the service', () => {
  const { log, last } = capture()
  log.warn({ file: 'crew.yaml' }, 'the policy was not taken')
  expect(last()).toEqual({
    level: 'warn',
    time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
    'service.name': 'iron-proxy',
    file: 'crew.yaml',
    msg: 'the policy was not taken',
  })
})

test('what is below the level is not written', () => {
  const { log, lines } = capture('warn')
  log.info('quiet')
  expect(lines).toEqual([])
})

describe('a secret passed by mistake', () => {
  const value = randomBytes(16).toString('hex')
  const secret = new Secret('github', value)
  const error = Object.assign(
    new Error('failed', { cause: Object.assign(new Error('inner'), { request: { headers: [value] } }) }),
    {
      headers: { authorization: value },
      token: value,
    },
  )

  test.each<[string, (log: ReturnType<typeof createLog>) => void]>([
    ['as the whole object', (log) => log.info(secret as never)],
    ['as a field', (log) => log.info({ secret }, 'x')],
    ['deep inside', (log) => log.info({ a: [{ b: secret }], map: new Map([['k', secret]]) }, 'x')],
    ['as format arguments', (log) => log.info('%s %o %j %O', secret, secret, { secret }, [secret])],
    ['as text', (log) => log.info(String(secret))],
    ['as a child binding', (log) => log.child({ secret }).info('x')],
    ['hung onto an error', (log) => log.error(error)],
    ['hung onto an error in a field', (log) => log.error({ err: error, error, why: error }, 'x')],
  ])('%s never prints', (_, write) => {
    const { log, lines } = capture()
    write(log)
    expect(lines).toHaveLength(1)
    expect(lines.join()).not.toContain(value)
  })
})

test('an error keeps its code, message and causes', () => {
  const { log, last } = capture()
  const cause = Object.assign(new Error('connect refused'), { code: 'ECONNREFUSED' })
  log.error({ err: new TypeError('could not reload', { cause }) }, 'reload')
  expect(last().err).toMatchObject({
    type: 'TypeError',
    message: 'could not reload',
    cause: { code: 'ECONNREFUSED', message: 'connect refused' },
  })
})

test('an error that is its own cause is written once and ends', () => {
  const { log, last } = capture()
  const error = new Error('round')
  error.cause = error
  log.error(error)
  expect(last().msg).toBe('round')
})

test('hostile and endless text stays on one bounded line', () => {
  const { log, lines } = capture()
  const hostile = `\r\n{"level":"fatal"}\u001b[31m\u2028\u009b${'x'.repeat(1024 * 1024)}`
  log.info({ host: hostile }, hostile)
  log.error(new Error(hostile))
  for (const line of lines) {
    expect(line).toMatch(/^\{[\x20-\x7e]*\}\n$/)
    expect(line.length).toBeLessThan(20_000)
  }
})

test('a reader of standard error that stalls does not stall the program', async () => {
  const module = new URL('../../src/observe/log.ts', import.meta.url).href
  const program = `
    const { createLog } = await import(${JSON.stringify(module)})
    const log = createLog('info')
    for (let index = 0; index < 3000; index += 1) log.info('x'.repeat(1000))
    setTimeout(() => process.stdout.write('still running'), 50)`
  // Standard error is a pipe that nobody reads.
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['ignore', 'pipe', 'pipe'] })
  try {
    const [said] = await once(child.stdout, 'data')
    expect(String(said)).toBe('still running')
  } finally {
    child.kill('SIGKILL')
  }
})
