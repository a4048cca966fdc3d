import { appendFile, readFile, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makeWorkspace } from '../kit/workspace.ts'
import { hasChromium, startChromium } from '../kit/chromium.ts'
import type { Browser, Tab } from '../kit/chromium.ts'
import { scenario, type Scenario } from '../kit/scenario.ts'
import { startUpstream } from '../kit/upstream.ts'
import { within } from '../kit/within.ts'

const evil = '<img src=x onerror=alert(1)>"\'`<script>alert(2)</script>'
const run = 'wake-<b>1</b>'
const policy = `version: 1
agents:
  coder: {from: [{cidr: 127.0.0.0/8}], budget: crew}
budgets:
  crew: {tokens: 1000000, usd: 5, window: day}
credentials:
  service: {kind: bearer, stub: proxy-token-service, secret: {file: secrets/service}, hosts: [open.test]}
rules:
  - {id: open, hosts: [open.test], credentials: [service]}
`
const tests = `version: 1
cases:
  - {url: 'https://open.test/', allow: true}
`

const stack = new AsyncDisposableStack()
let s: Scenario<object>
let browser: Browser
let tab: Tab
let at: string
let axe: string

describe.skipIf(!hasChromium)(`the page${hasChromium ? '' : ' (skipped: no Chromium)'}`, () => {
  beforeAll(async () => {
    const events = await makeWorkspace(policy, [])
    stack.use(events)
    const file = join(events.folder, 'events.jsonl')
    await writeFile(file, '')
    s = stack.use(
      await scenario({
        policy,
        secrets: ['service'],
        upstreams: { open: { hosts: ['open.test'], start: ({ certificate }) => startUpstream({ certificate, protocol: 'h1' }) } },
        settings: { runs: { events: [file] } },
      }),
    )
    at = `http://127.0.0.1:${s.ports.admin}`
    await s.curl('transparent', 'https://open.test/a', ['--header', 'X-Run-Id: wake-1'])
    await s.curl('transparent', `https://closed.test/${encodeURIComponent(evil)}`, [
      '--header',
      'User-Agent: <script>alert(3)</script>',
    ])
    await s.curl('transparent', `https://open.test/"><script>alert(4)</script>`, ['--globoff', '--path-as-is'])
    const line = (some: object) =>
      JSON.stringify({ id: `e-${Math.random()}`, time: new Date().toISOString(), type: 'run', agent: evil, runId: run, ...some })
    await appendFile(
      file,
      `${[
        { event: 'started', by: { kind: 'message', message: evil, room: evil, sender: evil } },
        { event: 'prompt', head: evil },
        { event: 'tool', tool: evil, head: evil },
        { event: 'edit', path: evil },
        { event: 'error', reason: evil },
        { event: 'result', head: 'https://github.com/o/r/pull/7' },
      ]
        .map(line)
        .join('\n')}\n`,
    )
    await s.audited({ host: 'closed.test', type: 'request' })
    browser = stack.use(await startChromium())
    tab = await browser.tab()
    axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
  }, 90_000)
  afterAll(() => stack.disposeAsync())

  const text = () => tab.run<string>('document.body?.innerText ?? ""')

  it.each([
    [
      '/',
      'Now',
      [
        'coder',
        'GET closed.test/',
        'host_denied',
        '- {id: closed-test, agents: [coder]',
        'requests a second',
        '0 of 1,000,000 tokens used (0 %)',
        '0.0000 of 5.0000 USD',
      ],
    ],
    ['/runs', 'Runs', ['wake-1', 'o/r/pull/7', '1 request']],
    ['/runs/wake-1', 'Run wake-1', ['GET open.test/a 200']],
    [`/runs/${encodeURIComponent(run)}`, `Run ${run}`, ['onerror=alert(1)', 'o/r/pull/7', 'message']],
    ['/credentials', 'Credentials', ['service', 'bearer', 'loaded', 'open.test']],
    ['/policy', 'Policy', ['hash', 'no *.test.yaml stands beside']],
    ['/policy?agent=coder&method=GET&url=https%3A%2F%2Fclosed.test%2F%3Cscript%3E', 'Policy', ['host_denied', 'closed.test']],
    ['/health', 'Health', ['policy', 'well', 'fingerprint', 'admin']],
  ])(
    '%s says what it should, to the keyboard, to axe, on 360 px, in the dark, without a word from the console',
    async (path, title, words) => {
      for (const [width, dark] of [
        [1280, false],
        [360, true],
      ] as const) {
        await tab.size(width, 800, dark)
        await tab.open(at + path)
        expect(await tab.run('document.title')).toBe(`${title} – iron-proxy`)
        const said = await text()
        for (const word of words) expect(said).toContain(word)
        expect(await tab.run('document.documentElement.scrollWidth <= innerWidth')).toBe(true)
        expect(await tab.run('document.querySelectorAll("img, iframe, main script, [onerror], b").length')).toBe(0)
        await tab.run(axe)
        const found = await tab.run<{ violations: { id: string; nodes: { html: string }[] }[] }>(
          'axe.run().then(({ violations }) => ({ violations }))',
        )
        expect(found.violations.map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`)).toEqual([])
        const folder = process.env['SCREENSHOTS']
        if (folder !== undefined)
          await writeFile(join(folder, `${title.replaceAll(/\W/g, '')}-${width}.png`), await tab.screenshot())
      }
      await tab.press('Tab')
      expect(await tab.run('document.activeElement.className')).toBe('skip')
      expect(tab.complaints).toEqual([])
    },
    60_000,
  )

  it('shows what happens while it is open', async () => {
    await tab.open(`${at}/`)
    await s.curl('transparent', 'https://later.test/now')
    expect(await within(async () => (await text()).includes('later.test/now'), 10_000)).toBeTruthy()
    expect(await tab.run('document.getElementById("state").textContent')).toBe('live')
    expect(tab.complaints).toEqual([])
  }, 30_000)

  it('sets a budget and reads the policy, each asked once and in the audit', async () => {
    await tab.open(`${at}/`)
    await tab.run('document.querySelector("[name=tokens]").value = "250000"')
    await tab.going('document.querySelector("form[action=\'/do/budget\'] button").click()')
    expect(await text()).toContain('Count 250,000 tokens as used of crew of coder?')
    expect(await s.audited({ type: 'operator' }, 100)).toBeUndefined()
    await tab.press('Enter')
    expect(await within(async () => (await text()).includes('250,000 of 1,000,000 tokens used (25 %)'), 10_000)).toBeTruthy()
    expect(await s.audited({ type: 'operator', event: 'budget_set', budget: 'crew' })).toMatchObject({
      peer: '127.0.0.1',
      verdict: 'allow',
    })

    await writeFile(join(s.files.folder, 'policies', 'crew.test.yaml'), tests).catch(() => {})
    await tab.open(`${at}/policy`)
    await tab.going('document.querySelector("form[action=\'/do/reload\'] button").click()')
    await tab.going('document.querySelector("main form button").click()')
    expect(await s.audited({ type: 'operator', event: 'reloaded' })).toBeTruthy()
    expect(await tab.run('location.pathname')).toBe('/policy')
    expect(tab.complaints).toEqual([])
  }, 30_000)

  it.each([
    ['a page of another origin', '/do/reload', { origin: 'http://evil.test' }, 403],
    ['a name that was bound to our address', '/', { host: 'evil.test' }, 421],
  ])('is closed to %s', async (_name, path, headers, status) => {
    const { request } = await import('node:http')
    const got = await new Promise<number>((resolve) => {
      request({ port: s.ports.admin, host: '127.0.0.1', path, method: path === '/' ? 'GET' : 'POST', headers }, (res) => {
        resolve(res.resume().statusCode ?? 0)
      }).end()
    })
    expect(got).toBe(status)
  })

  it('cannot be reached by an agent through the proxy', async () => {
    const through = await s.curl('absolute', `http://127.0.0.1:${s.ports.admin}/`)
    // An address in place of a name; a name that leads here is refused as our own socket (own-connections.test.ts).
    expect(through.status).toBe(400)
    expect(through.body.toString()).not.toContain('iron-proxy</strong>')
  })

  it('runs no script or style but its own', async () => {
    const reply = await fetch(`${at}/`)
    expect(reply.headers.get('content-security-policy')).toBe(
      "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    )
    const body = await reply.text()
    expect(body).not.toMatch(/<script(?! src="\/page\.js" defer>)/)
    expect(body).not.toMatch(/ style=| on\w+=/)
  })
})
