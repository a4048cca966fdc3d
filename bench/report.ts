/** What a run has found, as Markdown: the targets first, then each scenario. */
import { judge, lookInto } from './targets.ts'
import type { Measure, Results, Row, Spread, Table } from './types.ts'

/** The whole of `RESULTS.md`. */
export function report(results: Results): string {
  const { date, machine, versions, leftOut, seconds, tables } = results
  return [
    '# What it costs',
    '',
    `Made by \`npm run bench\` on ${date} in ${Math.round(seconds / 60)} minutes: ${machine}. Proxies have one core, load and upstream the other;`,
    'loopback in a network namespace, MTU 1500. Contenders take turns; a figure is the median of its rounds, and from where to where',
    'their middle half goes stands behind it. Ratios carry over to other machines, absolute figures do not.',
    '',
    ...list(Object.entries(versions).map(([name, version]) => `${name}: ${version}`)),
    ...(leftOut.length > 0 ? [`Left out: ${leftOut.join('; ')}.`, ''] : []),
    '## Targets',
    '',
    judgements(tables),
    ...tables.flatMap((table) => [`## ${table.title}`, '', tableText(table)]),
  ].join('\n')
}

/** Each target, what the sketch reached in brackets, what was reached, and whether that is enough. */
export function judgements(tables: readonly Table[]): string {
  const rows = judge(lookInto(tables)).map(({ says, wanted, sketch, reached, verdict }) => [
    says,
    [wanted, sketch].filter(Boolean).join(' '),
    reached,
    verdict === 'not met' ? '**not met**' : verdict,
  ])
  return `${markdown(['', 'wanted (sketch)', 'reached', ''], rows)}\n`
}

/** One table with its notes. */
export function tableText({ measures, compare, rows, notes }: Table): string {
  if (rows.length === 0) return list(notes).join('\n')
  const columns = Object.entries(measures)
  const reference = rows.some(({ contender }) => contender === 'iron-proxy') ? 'iron-proxy' : rows[0]?.contender
  const compared = compare && measures[compare.measure]
  const head = [
    '',
    '',
    ...(compared ? [`${reference} ÷ it, ${compared.says}`] : []),
    ...columns.map(([, { says, unit }]) => heading(says, unit)),
  ]
  const lines = rows.map((row, i) => {
    const base = rows.find(({ of, contender }) => of === row.of && contender === reference)
    return [
      rows[i - 1]?.of === row.of ? '' : row.of,
      row.contender,
      ...(compare && compared ? [quotient(base, row, compare.measure)] : []),
      ...columns.map(([name, measure]) => cell(row.figures[name], measure)),
    ]
  })
  const sense = compare ? [`${compare.better === 'more' ? 'Above' : 'Below'} 1, ${reference} is the better one.`, ''] : []
  return [markdown(head, lines), '', ...sense, ...list(notes)].join('\n')
}

function quotient(base: Row | undefined, row: Row, measure: string): string {
  if (!base || base === row) return ''
  const value = (base.figures[measure]?.median ?? Number.NaN) / (row.figures[measure]?.median ?? Number.NaN)
  return Number.isFinite(value) ? value.toFixed(2) : '–'
}

/** A median, and behind it where the middle half lies, unless that is the same. */
function cell(spread: Spread | undefined, { digits = 0 }: Measure): string {
  if (!spread || !Number.isFinite(spread.median)) return '–'
  const show = (value: number) => value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits })
  const [low, median, high] = [show(spread.low), show(spread.median), show(spread.high)]
  return low === high ? median : `${median} (${low} to ${high})`
}

function heading(says: string, unit: string): string {
  return unit === '' ? says : `${says}, ${unit}`
}

function markdown(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|').replaceAll('\n', ' ')).join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}

function list(lines: readonly string[]): readonly string[] {
  return lines.length === 0 ? [] : [...lines.map((each) => `- ${each.replaceAll('\n', ' ')}`), '']
}
