/** Runs of ephemeral agents: minted, listed and ended by whoever starts them, and bound to standing agents. */
import { z } from 'zod'
import type { Secret } from '#base/secret.ts'
import { fault, json, type Answer, type Routes } from './http.ts'

/** What is asked for; at least one of the two in a budget. */
const orderSchema = z.strictObject({
  agent: z.string(),
  ttl_seconds: z.int().min(1).max(86_400),
  // It goes into the audit.
  label: z
    .string()
    .regex(/^[\x20-\x7e]{1,120}$/, { error: 'a label is 1 to 120 printable ASCII characters' })
    .optional(),
  hosts: z.array(z.string()).min(1).max(100).optional(),
  budget: z
    .strictObject({ tokens: z.int().min(0).max(1e12).optional(), usd: z.number().min(0).max(1e6).optional() })
    .refine(({ tokens, usd }) => tokens !== undefined || usd !== undefined, { error: 'limit tokens, usd or both' })
    .optional(),
})

const boundSchema = z.strictObject({
  agent: z.string(),
  // As `X-Run-Id` may be.
  run_id: z
    .string()
    .regex(/^[\x21-\x7e]{1,128}$/, { error: 'a run id is 1 to 128 printable ASCII characters without a space' })
    .nullable(),
})

/** What is asked for. Money in US dollars. */
export interface RunOrder {
  readonly agent: string
  readonly ttlSeconds: number
  readonly label?: string | undefined
  /** Left out: all that the agent may reach. */
  readonly hosts?: readonly string[] | undefined
  readonly budget?: { readonly tokens?: number | undefined; readonly usd?: number | undefined } | undefined
}

/** A run that was made. Password and stubs are told this once. */
export interface MintedRun {
  readonly kind: 'minted'
  readonly run_id: string
  readonly agent: string
  readonly expires_at: string
  readonly username: string
  readonly password: Secret
  readonly stubs: Readonly<Record<string, string>>
}

export interface RunSources {
  readonly runs: {
    mint(order: RunOrder): MintedRun | { readonly kind: 'refused'; readonly code: string; readonly message: string }
    /** `false`: there is no such run. */
    end(id: string): boolean
    rows(): readonly object[]
    /** Says which run an agent is on; `undefined`: on none. `false`: there is no such agent. */
    bind(agent: string, run: string | undefined): boolean
  }
  /** Resolves once a change of runs is in force wherever agents are served. */
  readonly settled: () => Promise<void>
  /** Where agents find the explicit proxy; without a port it is off. */
  readonly explicitProxy: () => { readonly address: string; readonly port: number | undefined }
}

const statuses: Readonly<Record<string, number>> = { no_policy: 503, too_many_runs: 503, unknown_agent: 404 }

/** `POST /v1/runs`, `GET /v1/runs`, `DELETE /v1/runs/ID`, `POST /v1/runs/bind`. */
export function runRoutes(sources: RunSources): Routes {
  return {
    '/v1/runs': [
      { method: 'GET', answer: () => json(200, sources.runs.rows()) },
      { method: 'POST', takes: 'json', answer: (_query, body) => minted(body, sources) },
    ],
    '/v1/runs/': { method: 'DELETE', answer: (_query, _body, id) => ended(id, sources) },
    '/v1/runs/bind': { method: 'POST', takes: 'json', answer: (_query, body) => bound(body, sources) },
  }
}

async function minted(body: unknown, { runs, settled, explicitProxy }: RunSources): Promise<Answer> {
  const order = orderSchema.safeParse(body)
  if (!order.success) return mistaken(order.error)
  const { address, port } = explicitProxy()
  if (port === undefined) return fault(409, 'proxy_off', 'runs speak through the explicit proxy, and listen.proxy is off')
  const url = `http://${address.includes(':') ? `[${address}]` : address}:${port}`
  const { ttl_seconds: ttlSeconds, ...rest } = order.data
  const run = runs.mint({ ...rest, ttlSeconds })
  if (run.kind === 'refused') return fault(statuses[run.code] ?? 400, run.code, run.message)
  await settled()
  const { run_id, agent, username, password, stubs, expires_at } = run
  return json(201, { run_id, agent, proxy: { url, username, password: password.expose() }, stubs, expires_at })
}

async function ended(id: string, { runs, settled }: RunSources): Promise<Answer> {
  if (!runs.end(id)) return fault(404, 'unknown_run', 'there is no such run; it may have ended')
  await settled()
  return { status: 204, type: '', body: '' }
}

async function bound(body: unknown, { runs, settled }: RunSources): Promise<Answer> {
  const asked = boundSchema.safeParse(body)
  if (!asked.success) return mistaken(asked.error)
  const { agent, run_id } = asked.data
  if (!runs.bind(agent, run_id ?? undefined))
    return fault(404, 'unknown_agent', `the policy has no agent ${JSON.stringify(agent)}`)
  await settled()
  return json(200, { agent, run_id })
}

function mistaken({ issues: [first] }: z.ZodError): Answer {
  const at = first && first.path.length > 0 ? `${first.path.join('.')}: ` : ''
  return fault(400, 'bad_body', `${at}${first?.message ?? 'this is not what is taken here'}`)
}
