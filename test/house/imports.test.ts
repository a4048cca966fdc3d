import { describe, expect, it } from 'vitest'
import { filesBelow, importsOf, textOf } from './sources.ts'

/** Imports only go down, never to a sibling. */
const ranks: Readonly<Record<string, number>> = {
  base: 0,
  wire: 1,
  policy: 1,
  credentials: 1,
  providers: 1,
  metering: 1,
  journey: 2,
  listeners: 3,
  upstream: 3,
  dns: 3,
  ca: 3,
  vault: 3,
  store: 3,
  identity: 3,
  observe: 3,
  admin: 3,
  timeline: 3,
  config: 4,
  workers: 5,
  page: 5,
  'policy-tools': 5,
  sandbox: 5,
  'build.ts': 6,
  'operators.ts': 6,
  'operator-pages.ts': 6,
  'app.ts': 6,
  cli: 7,
  'main.ts': 7,
}

const sources = filesBelow('src', '.ts')
const roomOf = (file: string): string => file.split('/')[1] ?? ''
const rankOf = (room: string): number => ranks[room] ?? Number.NaN

/** Modules that reach outside the process, the clock or chance. */
const outside =
  /^node:(?:net|tls|http|https|http2|dns|dgram|fs|child_process|cluster|worker_threads|timers|crypto|os|process|perf_hooks)(?:\/|$)/

describe('the house', () => {
  it('has a rank for every room', () => {
    expect(sources.filter((file) => Number.isNaN(rankOf(roomOf(file)))).filter((file) => !file.endsWith('.d.ts'))).toEqual([])
  })

  it.each(sources)('%s imports only what is below it', (file) => {
    const room = roomOf(file)
    for (const imported of importsOf(file)) {
      if (!imported.startsWith('#')) continue
      const target = imported.slice(1).split('/')[0] ?? ''
      expect(rankOf(target), `${file} imports ${imported}`).toBeLessThanOrEqual(room === 'main.ts' ? 7 : rankOf(room) - 1)
    }
  })

  it.each(sources)('%s leaves its room only by the front door', (file) => {
    const climbing = importsOf(file).filter((imported) => imported.startsWith('../') && file.split('/').length <= 3)
    expect(climbing.filter((imported) => !imported.endsWith('package.json'))).toEqual([])
  })

  it.each(sources.filter((file) => rankOf(roomOf(file)) <= 2 || roomOf(file) === 'policy-tools'))(
    '%s does no I/O and reads no clock, chance or process',
    (file) => {
      expect(importsOf(file).filter((imported) => outside.test(imported))).toEqual([])
      const code = textOf(file).replaceAll(/\/\*[^]*?\*\/|\/\/.*$/gm, '')
      expect(code).not.toMatch(
        /\bDate\.now\b|\bnew Date\(\)|\bperformance\b|\bMath\.random\b|\bset(?:Timeout|Interval|Immediate)\b|\bprocess\./,
      )
    },
  )

  it('reads `process` in one place', () => {
    const readers = sources.filter((file) =>
      /\bprocess\.(?!versions)/.test(textOf(file).replaceAll(/\/\*[^]*?\*\/|\/\/.*$|`[^`]*`/gm, '')),
    )
    expect(readers).toEqual(['src/main.ts'])
  })

  it('keeps files short enough to see whole', () => {
    const long = sources.map((file) => [file, textOf(file).split('\n').length] as const).filter(([, lines]) => lines > 400)
    expect(long).toEqual([])
  })

  it('has no barrel files but a registry’s index', () => {
    const indexes = sources.filter((file) => file.endsWith('/index.ts'))
    expect(indexes).toEqual([
      'src/cli/index.ts',
      'src/credentials/index.ts',
      'src/credentials/whoami/index.ts',
      'src/providers/index.ts',
      'src/vault/sources/index.ts',
    ])
  })
})
