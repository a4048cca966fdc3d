/** Durations and sizes as people write them. */

const milliseconds: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  // Micro sign, and the Greek letter that looks like it.
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
}

/** Milliseconds of `90s`, `1h30m`, `.5s` or `+5s`, as Go's `time.ParseDuration` reads them; `undefined` when it is none, or negative. */
export function durationOf(text: string): number | undefined {
  const unsigned = text.replace(/^\+/, '')
  if (unsigned === '0') return 0
  if (!/^(?:(?:\d+\.?\d*|\.\d+)(?:ns|[uµμ]s|ms|[smh]))+$/.test(unsigned)) return undefined
  return [...unsigned.matchAll(/([\d.]+)([a-zµμ]+)/g)].reduce(
    (sum, [, count, unit]) => sum + Number(count) * (milliseconds[unit ?? ''] ?? Number.NaN),
    0,
  )
}

const bytes: Readonly<Record<string, number>> = {
  '': 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
}

/** Bytes of `512MiB`, `1.5GB` or `1000`; `undefined` when it is none. */
export function sizeOf(text: string): number | undefined {
  const [, count, unit = ''] = /^(\d+(?:\.\d+)?)\s*((?:[KMG]i?B)?)$/.exec(text) ?? []
  return count === undefined ? undefined : Math.floor(Number(count) * (bytes[unit] ?? Number.NaN))
}
