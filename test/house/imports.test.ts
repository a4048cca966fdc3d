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
  contracts: 2,
  journey: 3,
  listeners: 4,
  upstream: 4,
  dns: 4,
  ca: 4,
  vault: 4,
  store: 4,
  identity: 4,
  runs: 4,
  observe: 4,
  admin: 4,
  timeline: 4,
  config: 5,
  workers: 6,
  page: 6,
  'policy-tools': 6,
  sandbox: 6,
  'build.ts': 7,
  'operators.ts': 7,
  'operator-pages.ts': 7,
  'app.ts': 7,
  cli: 8,
  'main.ts': 8,
}

const sources = filesBelow('src', '.ts')
const roomOf = (file: string): string => file.split('/')[1] ?? ''
const rankOf = (room: string): number => ranks[room] ?? Number.NaN

/** Modules that reach outside the process, the clock or chance. */
const outside =
  /^node:(?:net|tls|http|https|http2|dns|dgram|fs|child_process|cluster|worker_threads|timers|crypto|os|process|perf_hooks)(?:\/|$)/

describe('the house', () => {
  it('has no two exported types or classes of one name', () => {
    const named = sources.flatMap((file) =>
      [...textOf(file).matchAll(/^export (?:interface|type|(?:abstract )?class) (\w+)/gm)].map(([, name = '']) => ({
        name,
        file,
      })),
    )
    const twice = Object.entries(Object.groupBy(named, ({ name }) => name)).filter(([, of = []]) => of.length > 1)
    expect(twice.map(([name, of = []]) => [name, ...of.map(({ file }) => file)])).toEqual([])
  })

  it('has a rank for every room', () => {
    expect(sources.filter((file) => Number.isNaN(rankOf(roomOf(file)))).filter((file) => !file.endsWith('.d.ts'))).toEqual([])
  })

  it.each(sources)('%s imports only what is below it', (file) => {
    const room = roomOf(file)
    for (const imported of importsOf(file)) {
      if (!imported.startsWith('#')) continue
      const target = imported.slice(1).split('/')[0] ?? ''
      expect(rankOf(target), `${file} imports ${imported}`).toBeLessThanOrEqual(room === 'main.ts' ? 8 : rankOf(room) - 1)
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
