import { createVerify, generateKeyPairSync, randomBytes } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { findLeaks } from '../kit/canary.ts'
import { startLoad } from '../kit/load.ts'
import { scenario } from '../kit/scenario.ts'
import { startUpstream } from '../kit/upstream.ts'
import type { Upstream, Visit } from '../kit/upstream.ts'
import { within } from '../kit/within.ts'

interface Narrowing {
  readonly repositories?: readonly string[]
  readonly permissions?: Readonly<Record<string, string>>
}

interface Minted extends Narrowing {
  readonly token: string
  readonly expiresAt: number
  uses: number
}

/** GitHub as far as an App and its tokens go: docs.github.com/rest/apps/apps#create-an-installation-access-token-for-an-app. */
class GitHub {
  readonly minted: Minted[] = []
  /** Seconds. */
  lifetime = 3600
  /** Uses of each new token that are answered 401, as one is that has not reached all servers yet. */
  unknownAtFirst = 0
  /** Seconds that its clock is ahead of ours. */
  ahead = 0
  readonly #key: string
  readonly pem: string

  constructor() {
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    this.pem = privateKey.export({ type: 'pkcs1', format: 'pem' })
    this.#key = publicKey.export({ type: 'spki', format: 'pem' })
  }

  readonly handle = ({ request, response }: Visit): boolean => {
    const answer = (status: number, body: object) => {
      response.writeHead(status, { 'content-type': 'application/json; charset=utf-8', date: new Date(this.#now()).toUTCString() })
      response.end(JSON.stringify(body))
    }
    const bearer = /^(?:bearer|token) (.+)$/i.exec(request.headers.authorization ?? '')?.[1] ?? ''
    if (request.method === 'POST' && request.url === '/app/installations/7890123/access_tokens') {
      void text(request).then((sent) => {
        const wrong = this.#judge(bearer)
        if (wrong !== undefined) return answer(401, { message: wrong, documentation_url: 'https://docs.github.com/rest' })
        answer(201, this.#mint(JSON.parse(sent) as Narrowing))
      })
      return true
    }
    request.resume()
    const found = this.minted.find(({ token, expiresAt }) => token === bearer && expiresAt > this.#now())
    if (!found || (found.uses += 1) <= this.unknownAtFirst) {
      answer(401, { message: 'Bad credentials', documentation_url: 'https://docs.github.com/rest', status: '401' })
    } else if (request.url === '/json') response.writeHead(200).end('x'.repeat(1024))
    else answer(200, { repositories: found.repositories, permissions: found.permissions })
    return true
  }

  #now(): number {
    return Date.now() + this.ahead * 1000
  }

  /** What GitHub says is wrong with the JWT of an App. */
  #judge(jwt: string): string | undefined {
    const [head = '', claims = '', signature = ''] = jwt.split('.')
    const verified = createVerify('RSA-SHA256').update(`${head}.${claims}`).verify(this.#key, signature, 'base64url')
    if (!verified) return 'A JSON web token could not be decoded'
    const { iss, iat, exp } = JSON.parse(Buffer.from(claims, 'base64url').toString()) as {
      iss: unknown
      iat: number
      exp: number
    }
    const now = this.#now() / 1000
    if (String(iss) !== '123456') return 'Integration not found'
    if (iat > now) return "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued"
    if (exp < now || exp > now + 600) return "'Expiration time' claim ('exp') is too far in the future"
    return undefined
  }

  #mint(narrowing: Narrowing): object {
    // Since 2026: the App's id and a JWT, some 520 characters with dots.
    const token = `ghs_123456_${[110, 160, 60].map((size) => randomBytes(size).toString('base64url')).join('.')}`
    const seconds = Math.floor(this.#now() / 1000) + this.lifetime
    this.minted.push({ ...narrowing, token, expiresAt: seconds * 1000, uses: 0 })
    return {
      token,
      expires_at: new Date(seconds * 1000).toISOString().replace('.000Z', 'Z'),
      permissions: { ...narrowing.permissions, metadata: 'read' },
      repository_selection: narrowing.repositories ? 'selected' : 'all',
      repositories: narrowing.repositories?.map((name, id) => ({ id, name, full_name: `example/${name}`, private: true })),
    }
  }

  get tokens(): Readonly<Record<string, string>> {
    return Object.fromEntries(this.minted.map(({ token }, i) => [`token ${i}`, token]))
  }
}

const policy = `version: 1
agents: {coder: {from: [{cidr: 127.0.0.0/8}]}}
credentials:
  write:
    kind: github-app
    stub: github-coder-stub
    appId: 123456
    installationId: 7890123
    privateKey: {file: secrets/app.pem}
    repositories: [project]
    permissions: {contents: write, pull_requests: write}
    hosts: [api.github.com]
  read:
    kind: github-app
    stub: github-reader-stub
    appId: 123456
    installationId: 7890123
    privateKey: {file: secrets/app.pem}
    repositories: [project, handbook]
    permissions: {contents: read}
    hosts: [api.github.com]
rules:
  - {id: api, hosts: [api.github.com], credentials: [write, read]}
`

async function stage(github: GitHub) {
  await using stack = new AsyncDisposableStack()
  const s = stack.use(
    await scenario({
      policy,
      upstreams: {
        api: {
          hosts: ['api.github.com'],
          start: ({ certificate }): Promise<Upstream> => startUpstream({ certificate, protocol: 'h1', handler: github.handle }),
        },
      },
    }),
  )
  await mkdir(join(s.files.policies, 'secrets'), { recursive: true })
  await writeFile(join(s.files.policies, 'secrets/app.pem'), github.pem)
  await s.app.reload('signal')
  const get = async (stub = 'github-coder-stub', scheme = 'token') => {
    const reply = await s.curl('transparent', 'https://api.github.com/repos/example/project', [
      '-H',
      `Authorization: ${scheme} ${stub}`,
    ])
    return { status: reply.status, body: JSON.parse(reply.body.toString() || '{}') as Narrowing & { error?: { code: string } } }
  }
  const owned = stack.move()
  return { s, get, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

describe('a GitHub App', () => {
  it('mints one token for each narrowing, keeps them apart, and shows none', async () => {
    const github = new GitHub()
    await using on = await stage(github)
    const replies = await Promise.all(
      Array.from({ length: 12 }, (_, i) =>
        on.get(i % 2 === 0 ? 'github-coder-stub' : 'github-reader-stub', i % 3 === 0 ? 'Bearer' : 'token'),
      ),
    )
    for (const [i, { status, body }] of replies.entries()) {
      expect(status).toBe(200)
      expect(body).toEqual(
        i % 2 === 0
          ? { repositories: ['project'], permissions: { contents: 'write', pull_requests: 'write' } }
          : { repositories: ['project', 'handbook'], permissions: { contents: 'read' } },
      )
    }
    expect(github.minted).toHaveLength(2)
    expect(github.minted[0]?.token.length).toBeGreaterThan(400)
    const sinks = [{ name: 'sinks', bytes: Buffer.from(on.s.log.join('') + on.s.files.audit() + (await on.s.metrics())) }]
    expect(findLeaks({ ...github.tokens, key: github.pem.slice(100, 160) }, sinks)).toEqual([])
  })

  it('asks once more where a new token is not known yet', async () => {
    const github = new GitHub()
    github.unknownAtFirst = 1
    await using on = await stage(github)
    // The first use of the first token meets a 401; so does that of the one minted for it, unless it is let be for a moment.
    const statuses = await Promise.all(Array.from({ length: 4 }, () => on.get())).then((all) => all.map(({ status }) => status))
    expect(statuses.filter((status) => status === 401)).toEqual([])
    expect(await within(async () => (await on.get()).status === 200, 20_000)).toBeDefined()
  })

  it('has the next token before the old one ends, and no request under load notices', async () => {
    const github = new GitHub()
    github.lifetime = 6
    await using on = await stage(github)
    expect((await on.get()).status).toBe(200)
    const load = startLoad({
      port: on.s.ports.https,
      host: 'api.github.com',
      ca: on.s.files.ca,
      concurrency: 8,
      rest: 5,
      headers: { authorization: 'Bearer github-coder-stub' },
    })
    expect(await within(() => github.minted.length >= 3, 20_000)).toBeDefined()
    await load.stop()
    expect(load.broken).toEqual([])
    expect(load.done).toBeGreaterThan(50)
  })

  it('says that the clocks differ when GitHub refuses its assertion for that', async () => {
    const github = new GitHub()
    github.ahead = -900
    await using on = await stage(github)
    expect(await on.get()).toMatchObject({ status: 503, body: { error: { code: 'credential_unavailable' } } })
    expect(on.s.log.join('')).toMatch(/our clock is (?:899|90\d) s ahead/)
    expect(github.minted).toHaveLength(0)
    await sleep(0)
  })
})
