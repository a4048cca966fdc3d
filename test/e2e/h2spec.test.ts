/** h2spec, the conformance suite of HTTP/2: our door fails nothing that a bare server of Node does not fail too. */
import { readFile, rm } from 'node:fs/promises'
import { createSecureServer, type ServerHttp2Stream } from 'node:http2'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { testAuthority } from '../kit/ca.ts'
import { have, run } from '../kit/clients.ts'
import { closer, listen } from '../kit/listen.ts'
import { scenario } from '../kit/scenario.ts'
import { startUpstream } from '../kit/upstream.ts'

// h2spec sends the name that it dials as SNI, so it must be one that this machine resolves.
const host = 'localhost'

const policy = `version: 1
agents: {alice: {from: [{cidr: 127.0.0.0/8}, {cidr: "::1/128"}]}}
rules: [{id: all, hosts: [${host}]}]
`

interface Outcome {
  readonly passed: number
  readonly failed: readonly string[]
}

/** Runs the suite against a TLS port. Some cases wait for a second; with more patience none is decided by the load of this machine. */
async function h2spec(port: number): Promise<Outcome> {
  const report = join(tmpdir(), `h2spec-${port}.xml`)
  try {
    await run('h2spec', ['-t', '-k', '-h', host, '-p', `${port}`, '-P', '/json', '-o', '3', '-j', report], { timeout: 280_000 })
    const cases = (await readFile(report, 'utf8')).split('<testcase ').slice(1)
    const nameOf = (text: string): string => `${/package="([^"]*)"/.exec(text)?.[1]}: ${/classname="([^"]*)"/.exec(text)?.[1]}`
    const failed = cases.filter((text) => /<(?:failure|error)/.test(text)).map(nameOf)
    const skipped = cases.filter((text) => text.includes('<skipped'))
    return { passed: cases.length - failed.length - skipped.length, failed }
  } finally {
    await rm(report, { force: true })
  }
}

/** The least that an HTTP/2 server of Node is: it reads the request and answers. */
async function bareServer(): Promise<{ readonly port: number } & AsyncDisposable> {
  const { certPem: cert, keyPem: key } = testAuthority().leaf(host)
  const server = createSecureServer({ cert, key })
  server.on('sessionError', () => {})
  server.on('stream', (stream: ServerHttp2Stream) => {
    stream.on('error', () => {})
    stream.resume()
    stream.respond({ ':status': 200, 'content-type': 'application/json' })
    stream.end('{"ok":true}')
  })
  return { port: await listen(server), [Symbol.asyncDispose]: closer(server) }
}

test.skipIf(!have('h2spec'))(
  'the https door fails no case of h2spec that a bare HTTP/2 server of Node passes (skipped when h2spec is not installed)',
  { timeout: 600_000 },
  async () => {
    await using bare = await bareServer()
    await using scene = await scenario({
      policy,
      upstreams: { main: { hosts: [host], start: ({ certificate }) => startUpstream({ certificate }) } },
    })
    const theirs = await h2spec(bare.port)
    const ours = await h2spec(scene.ports.https)
    expect(theirs.passed).toBeGreaterThan(100)
    expect(ours.passed).toBeGreaterThan(100)
    // It spoke with what lies behind the door, and not with refusals alone.
    expect(scene.upstreams.main.requests.length).toBeGreaterThan(25)
    expect(ours.failed.filter((name) => !theirs.failed.includes(name))).toEqual([])
  },
)
