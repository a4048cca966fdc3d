/** What is wanted of the product, and whether a run reached it. The figures in brackets are those of the throw-away sketch before it. */
import type { Table } from './types.ts'

/** The median of a figure; `undefined`: it was not measured. */
export type Look = (table: string, of: string, contender: string, measure: string) => number | undefined

export interface Target {
  readonly says: string
  readonly sense: 'at least' | 'at most'
  readonly wanted: number
  readonly unit: string
  readonly digits: number
  /** What the sketch reached. */
  readonly sketch?: number
  readonly reached: (look: Look) => number | undefined
}

export interface Judgement {
  readonly says: string
  readonly wanted: string
  readonly sketch: string
  readonly reached: string
  readonly verdict: 'met' | 'not met' | 'not measured'
}

const us = 'iron-proxy'
const peers = {
  mitmproxy: 'mitmproxy',
  httpMitmProxy: 'http-mitm-proxy',
  mockttp: 'mockttp',
  squid: 'squid (ssl_bump)',
  haproxy: 'HAProxy (TCP, unopened)',
  nginx: 'nginx (fixed certificate)',
} as const

type Figure = (look: Look) => number | undefined
const figure =
  (table: string, of: string, contender: string, measure: string): Figure =>
  (look) =>
    look(table, of, contender, measure)
const both =
  (one: Figure, other: Figure, join: (one: number, other: number) => number): Figure =>
  (look) => {
    const [a, b] = [one(look), other(look)]
    return a === undefined || b === undefined ? undefined : join(a, b)
  }
const ratio = (one: Figure, other: Figure) => both(one, other, (a, b) => a / b)
const difference = (one: Figure, other: Figure) => both(one, other, (a, b) => a - b)
/** A figure of ours over that of a peer, or of ours less that of a peer. */
const times = (table: string, of: string, peer: string, measure: string, ours: string = us) =>
  ratio(figure(table, of, ours, measure), figure(table, of, peer, measure))
const over = (table: string, of: string, peer: string, measure: string) =>
  difference(figure(table, of, us, measure), figure(table, of, peer, measure))

const json = '64 connections'
const paced = 'one each 2 ms'
const call = 'POST /v1/chat/completions, 32 connections'

function atLeast(wanted: number, unit: string, says: string, reached: Figure, sketch?: number): Target {
  return {
    says,
    sense: 'at least',
    wanted,
    unit,
    digits: unit === '×' ? 2 : 0,
    reached,
    ...(sketch === undefined ? {} : { sketch }),
  }
}

function atMost(wanted: number, unit: string, says: string, reached: Figure, sketch?: number): Target {
  return { ...atLeast(wanted, unit, says, reached, sketch), sense: 'at most' }
}

export const targets: readonly Target[] = [
  atLeast(22, '×', 'JSON: rate over mitmproxy', times('json', json, peers.mitmproxy, 'rate'), 23),
  atLeast(2, '×', 'JSON: rate over http-mitm-proxy', times('json', json, peers.httpMitmProxy, 'rate'), 2.15),
  atLeast(8, '×', 'JSON: rate over mockttp', times('json', json, peers.mockttp, 'rate'), 8.3),
  atLeast(1.25, '×', 'JSON: rate over squid', times('json', json, peers.squid, 'rate'), 1.23),
  atLeast(0.5, '×', 'JSON: rate over HAProxy, which opens nothing', times('json', json, peers.haproxy, 'rate'), 0.5),
  atLeast(
    1,
    '×',
    'JSON: rate at 256 connections over that at 16',
    ratio(figure('json', '256 connections', us, 'rate'), figure('json', '16 connections', us, 'rate')),
  ),
  atMost(64, '', 'upstream connections for 64 of agents', figure('process', json, us, 'dialled')),
  atLeast(2000, '', 'connections held', figure('idle', '2000 streams', us, 'held'), 2000),
  atMost(20, 'µs', 'added to HAProxy at 1 connection, p50', over('json', '1 connection', peers.haproxy, 'p50'), 20),
  atMost(60, 'µs', 'added to HAProxy at 1 connection, p99', over('json', '1 connection', peers.haproxy, 'p99'), 40),
  atMost(1.6, '×', 'paced events: delay over that of HAProxy, p50', times('events', paced, peers.haproxy, 'p50'), 1.6),
  atMost(2, '×', 'paced events: delay over that of HAProxy, p99', times('events', paced, peers.haproxy, 'p99'), 1.7),
  atMost(20, 'µs', 'paced events: the first later than through HAProxy', over('events', paced, peers.haproxy, 'first')),
  atLeast(0.75, '×', '10 MiB down: rate over HAProxy', times('bulk', '10m down', peers.haproxy, 'rate'), 0.75),
  atLeast(2.2, '×', '10 MiB down: rate over squid', times('bulk', '10m down', peers.squid, 'rate'), 2.25),
  atLeast(2.2, '×', '1 MiB up: rate over http-mitm-proxy', times('bulk', '1m up', peers.httpMitmProxy, 'rate'), 2.3),
  atMost(20, 'MiB', '1 GiB down: memory grown by', figure('gigabyte', '1 GiB down', us, 'grown')),
  atMost(20, 'MiB', '1 GiB up: memory grown by', figure('gigabyte', '1 GiB up', us, 'grown')),
  atMost(20, 'MiB', 'a stalled reader of 400 MB: memory grown by', figure('stalled', '400 MB asked for', us, 'grown'), 12),
  atLeast(
    0.87,
    '×',
    'new TLS connections: rate over nginx, which mints nothing',
    times('handshakes', 'full', peers.nginx, 'rate', 'iron-proxy, transparent'),
    0.87,
  ),
  atLeast(
    2.2,
    '×',
    'new TLS connections: rate over http-mitm-proxy',
    times('handshakes', 'full', peers.httpMitmProxy, 'rate'),
    2.2,
  ),
  atMost(
    1000,
    'µs',
    'a new host: its handshake over that of a known one',
    figure('hosts', '8 paced streams beside', us, 'mint'),
    230,
  ),
  atMost(5000, 'µs', 'a new host: longest delay of other streams', figure('hosts', '8 paced streams beside', us, 'stall'), 5000),
  atMost(
    2,
    '×',
    'a flood of denied names: p99 of allowed over p99 alone',
    ratio(
      figure('flood', '32 connections', 'beside a flood of denied names', 'p99'),
      figure('flood', '32 connections', 'alone', 'p99'),
    ),
  ),
  atMost(110, 'KiB', 'memory of an idle stream', figure('idle', '2000 streams', us, 'each'), 128),
  atMost(160, 'MiB', 'memory after load', figure('process', json, us, 'loaded'), 154),
  atMost(250, 'ms', 'listening after start, with the compile cache', figure('process', json, us, 'started'), 116),
  atMost(
    1.05,
    '×',
    '10,000 rules: CPU over 10 rules',
    ratio(figure('rules', '32 connections', '10,000 rules', 'cpu'), figure('rules', '32 connections', '10 rules', 'cpu')),
  ),
  atMost(
    1.15,
    '×',
    'scrub and meter, no budget: CPU over neither',
    ratio(figure('switches', call, 'no budget', 'cpu'), figure('switches', call, 'neither', 'cpu')),
  ),
  atMost(
    1.05,
    '×',
    'two workers: CPU of a request over one',
    ratio(figure('workers', json, 'workers: 2', 'cpu'), figure('workers', json, 'workers: 1', 'cpu')),
    0.96,
  ),
  atLeast(
    1.7,
    '×',
    'two workers: rate over one, where a second core is free',
    ratio(figure('workers', json, 'workers: 2', 'rate'), figure('workers', json, 'workers: 1', 'rate')),
    1.25,
  ),
  atMost(
    40,
    'MiB',
    'two workers: memory over one',
    difference(figure('workers', json, 'workers: 2', 'memory'), figure('workers', json, 'workers: 1', 'memory')),
    37,
  ),
  atLeast(80_000, '', 'DNS: queries a second', figure('dns', '64 outstanding', us, 'rate'), 142_400),
  atMost(2000, 'µs', 'DNS: p99', figure('dns', '64 outstanding', us, 'p99')),
  atLeast(1.6, '×', 'moonshot: rate of JSON over squid', times('json', json, peers.squid, 'rate'), 2),
  atMost(26, 'µs', 'moonshot: CPU of a JSON request', figure('json', json, us, 'cpu'), 22),
]

/** A look at what a run has found. */
export function lookInto(tables: readonly Table[]): Look {
  return (table, of, contender, measure) => {
    const rows = tables.find(({ name }) => name === table)?.rows
    const median = rows?.find((row) => row.of === of && row.contender === contender)?.figures[measure]?.median
    // JSON has no NaN: what was not to be had is null there.
    return typeof median === 'number' && Number.isFinite(median) ? median : undefined
  }
}

/** Each target beside what was reached; as shown, so that a figure never reads as met and is called not met. */
export function judge(look: Look, all: readonly Target[] = targets): readonly Judgement[] {
  return all.map(({ says, sense, wanted, unit, digits, sketch, reached }) => {
    const value = reached(look)
    const show = (figure: number, places = digits) =>
      `${figure.toLocaleString('en', { minimumFractionDigits: places, maximumFractionDigits: Math.max(places, 2) })}${unit === '×' || unit === '' ? unit : ` ${unit}`}`
    const shown = value === undefined ? undefined : Number(value.toFixed(digits))
    const met = shown !== undefined && (sense === 'at least' ? shown >= wanted : shown <= wanted)
    return {
      says,
      wanted: `${sense === 'at least' ? '≥' : '≤'} ${show(wanted, 0)}`,
      sketch: sketch === undefined ? '' : `(${show(sketch, 0)})`,
      reached: shown === undefined ? '–' : show(shown),
      verdict: shown === undefined ? 'not measured' : met ? 'met' : 'not met',
    }
  })
}
