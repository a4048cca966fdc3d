import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { scenario, type Scenario } from '../kit/scenario.ts'
import { headerOf, startUpstream, type Upstream } from '../kit/upstream.ts'

const policy = 'version: 1\nagents: {coder: {from: [{cidr: 127.0.0.0/8}]}}\nrules: [{id: open, hosts: [open.test]}]\n'
let s: Scenario<{ open: Upstream }>

beforeAll(async () => {
  s = await scenario({
    policy,
    upstreams: { open: { hosts: ['open.test'], start: ({ certificate }) => startUpstream({ certificate, protocol: 'h1' }) } },
  })
})
afterAll(() => s[Symbol.asyncDispose]())

const seen = () => s.upstreams.open.requests.at(-1)?.rawHeaders ?? []

it.each(['--http1.1', '--http2'])('with %s the trace of a request is in its record, and goes on unchanged', async (version) => {
  const traceId = randomBytes(16).toString('hex')
  const traceparent = `00-${traceId}-${randomBytes(8).toString('hex')}-01`
  const path = `/${traceId}`
  const state = 'vendor=opaque'
  await s.curl('transparent', `https://open.test${path}`, [
    version,
    '-H',
    `traceparent: ${traceparent}`,
    '-H',
    `tracestate: ${state}`,
  ])
  expect(await s.audited({ path, type: 'request' })).toMatchObject({ traceId })
  expect([headerOf(seen(), 'traceparent'), headerOf(seen(), 'tracestate')]).toEqual([traceparent, state])
})

it.each([
  ['is none', ['traceparent: not-a-trace']],
  [
    'is there twice',
    [`traceparent: 00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`, `traceparent: 00-${'c'.repeat(32)}-${'d'.repeat(16)}-01`],
  ],
])('a traceparent that %s names no trace, and goes on unchanged', async (name, headers) => {
  const path = `/${name.replaceAll(' ', '-')}`
  await s.curl(
    'transparent',
    `https://open.test${path}`,
    headers.flatMap((header) => ['-H', header]),
  )
  expect((await s.audited({ path, type: 'request' }))?.traceId).toBeUndefined()
  const sent = seen()
  const kept = sent.flatMap((field, i) =>
    i % 2 === 0 && field.toLowerCase() === 'traceparent' ? [`traceparent: ${sent[i + 1]}`] : [],
  )
  expect(kept).toEqual(headers)
})
