/** The proxy with every host that the clients ask, and a client that is run before it. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { besideBundle, trustVariables } from '#cli/env.ts'
import { bundlePem } from '#ca/bundle.ts'
import { run } from '../kit/clients.ts'
import { scenario } from '../kit/scenario.ts'
import { startUpstream } from '../kit/upstream.ts'
import type { Upstream } from '../kit/upstream.ts'
import { modelHosts, otherHosts, policyOf, secrets, seeds, tokenHosts } from './policies.ts'
import { serve } from './services.ts'
import type { Client, Door, Installed, State } from './types.ts'

/** What one client did in one state. */
export interface Observed {
  readonly served: boolean
  /** Codes of the proxy that it printed. */
  readonly shown: boolean
  /** The line of its output that says why, or its last one. */
  readonly saw: string
  /** Requests and tunnels to its host; where some were refused, those alone. */
  readonly requests: number
  /** From the first of them that was refused, or from its start, to its end. */
  readonly seconds: number
  readonly code: number
}

export interface Stage extends AsyncDisposable {
  enter(state: State): Promise<void>
  observe(client: Client, door: Door, state: State, installed: Installed): Promise<Observed>
}

const codes: Readonly<Partial<Record<State, RegExp>>> = {
  denied: /host_denied|no rule lets/,
  budget: /budget_exhausted|budget "day"/,
  ended: /needs_login|log in: ask the operator/i,
}

/** `address`: where the proxy listens on its usual ports; left out: on loopback, and only the explicit door can be used. */
export async function startStage(address?: string): Promise<Stage> {
  await using stack = new AsyncDisposableStack()
  const usual =
    address === undefined
      ? {}
      : { dns: `${address}:53`, http: `${address}:80`, https: `${address}:443`, proxy: `${address}:8080` }
  const s = stack.use(
    await scenario<{ all: Upstream }>({
      policy: 'version: 1\nagents: {}\nrules: []\n',
      secrets,
      settings: { listen: { ...usual }, ...(address !== undefined && { advertise: address }) },
      upstreams: {
        all: {
          hosts: [modelHosts[0], ...modelHosts.slice(1), ...otherHosts, ...tokenHosts],
          start: ({ certificate }) => startUpstream({ certificate, protocol: 'h1', handler: serve }),
        },
      },
    }),
  )
  for (const [name, text] of Object.entries(seeds(Date.now()))) await writeFile(join(s.files.policies, 'secrets', name), text)
  const bundle = join(s.files.folder, 'bundle.crt')
  const pem = bundlePem(s.files.ca)
  await writeFile(bundle, pem)
  const trust = { ...trustVariables(bundle, s.files.caFile), ...(await besideBundle(bundle, pem)), NODE_USE_ENV_PROXY: '1' }
  const proxy = `http://${address ?? '127.0.0.1'}:${s.ports.proxy}`
  const through: Readonly<Record<Door, Readonly<Record<string, string>>>> = {
    explicit: { HTTPS_PROXY: proxy, https_proxy: proxy, HTTP_PROXY: proxy, http_proxy: proxy, NO_PROXY: 'localhost,127.0.0.1' },
    transparent: {},
  }
  const owned = stack.move()
  return {
    async enter(state) {
      await s.editPolicy(policyOf(state), 10_000)
    },
    async observe(client, door, state, installed) {
      const { program, args, env, input, files = {} } = client.command(state, installed)
      const home = await mkdtemp(join(tmpdir(), 'client-'))
      try {
        for (const [name, text] of Object.entries(files)) {
          await mkdir(dirname(join(home, name)), { recursive: true })
          await writeFile(join(home, name), text, { mode: 0o600 })
        }
        const before = s.audit.length
        const began = Date.now()
        const done = await run(program, args, {
          cwd: home,
          env: { ...trust, ...through[door], ...env, HOME: home },
          ...(input !== undefined && { input }),
          timeout: 240_000,
        })
        const ended = Date.now()
        await settled(() => s.audit.length)
        const records = s.audit
          .slice(before)
          // Of a refused tunnel the path is not known.
          .filter(({ host, path }) => host === client.host && (path === undefined || (client.path?.test(path) ?? true)))
          .filter(({ type }) => type === 'request' || type === 'upgrade' || type === 'tunnel')
        // A tunnel that was opened is one with the requests inside it.
        const asked = records.filter(({ type, verdict }) => type !== 'tunnel' || verdict !== 'allow')
        const refused = asked.find(({ verdict }) => verdict !== 'allow')
        const text = plain(`${done.stdout}\n${done.stderr}`)
        const why = codes[state]
        return {
          served: client.served.test(text),
          shown: why?.test(text) ?? false,
          saw: sawIn(text, why ?? client.served),
          requests: refused && why ? asked.filter(({ verdict }) => verdict !== 'allow').length : asked.length,
          seconds: (ended - (refused ? Date.parse(refused.time) : began)) / 1000,
          code: done.code,
        }
      } finally {
        await rm(home, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
      }
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

/** Records are written in batches: until none has come for a while. */
async function settled(count: () => number): Promise<void> {
  for (let last = -1; last !== count();) {
    last = count()
    await new Promise((resolve) => setTimeout(resolve, 250))
  }
}

/** Without colours and what else moves a terminal about. */
function plain(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return text.replaceAll(/\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007]*\u0007|.)/g, '').replaceAll('\r', '\n')
}

function sawIn(text: string, why: RegExp): string {
  const lines = text.split('\n').map((each) => each.trim())
  const told = lines.filter((each) => why.test(each) && !/^proxy-status:/i.test(each))
  const telling = told.find((each) => each.includes('iron-proxy:')) ?? told[0] ?? lines.findLast((each) => each !== '') ?? ''
  // Some print an object of the client's own before what it was answered.
  const words = telling.search(why)
  const from = telling.length > 160 && words > 60 ? `…${telling.slice(words)}` : telling
  return from.length > 160 ? `${from.slice(0, 157)}…` : from
}
