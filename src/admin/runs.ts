/** Runs of ephemeral agents: minted, listed and ended by whoever starts them, and bound to standing agents. */
import type { RunOrder } from '#contracts/runs.ts'
import { z } from 'zod'
import { isRunId, runIdForm } from '#base/run-id.ts'
import type { Secret } from '#base/secret.ts'
import { fault, json, type HttpAnswer, type Routes } from './http.ts'

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
  run_id: z
    .string()
    .refine(isRunId, { error: `a run id is ${runIdForm}` })
    .nullable(),
})

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
    mint(order: RunOrder): Promise<MintedRun | { readonly kind: 'refused'; readonly code: string; readonly message: string }>
    /** `untold`: over here, and others hear of it later. `unavailable`: nobody can say whether there is such a run. */
    end(id: string): Promise<'ended' | 'untold' | 'unknown' | 'unavailable'>
    rows(): readonly object[]
    /** Says which run an agent is on; `undefined`: on none. `untold`: others hear of it later. `unknown`: there is no such agent. */
    bind(agent: string, run: string | undefined): Promise<'bound' | 'untold' | 'unknown'>
  }
  /** Where agents find the explicit proxy; without a port it is off. */
  readonly explicitProxy: () => { readonly address: string; readonly port: number | undefined }
}

const statuses: Readonly<Record<string, number>> = {
  no_policy: 503,
  state_unavailable: 503,
  too_many_runs: 503,
  unknown_agent: 404,
}

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

async function minted(body: unknown, { runs, explicitProxy }: RunSources): Promise<HttpAnswer> {
  const order = orderSchema.safeParse(body)
  if (!order.success) return mistaken(order.error)
  const { address, port } = explicitProxy()
  if (port === undefined) return fault(409, 'proxy_off', 'runs speak through the explicit proxy, and listen.proxy is off')
  const url = `http://${address.includes(':') ? `[${address}]` : address}:${port}`
  const { ttl_seconds: ttlSeconds, ...rest } = order.data
  const run = await runs.mint({ ...rest, ttlSeconds })
  if (run.kind === 'refused') return fault(statuses[run.code] ?? 400, run.code, run.message)
  const { run_id, agent, username, password, stubs, expires_at } = run
  return json(201, { run_id, agent, proxy: { url, username, password: password.expose() }, stubs, expires_at })
}

async function ended(id: string, { runs }: RunSources): Promise<HttpAnswer> {
  const how = await runs.end(id)
  switch (how) {
    case 'ended':
      return { status: 204, type: '', body: '' }
    case 'untold':
      return json(202, {
        run_id: id,
        ended: 'here',
        message: 'other replicas were not told yet, or did not say so; they will be',
      })
    case 'unknown':
      return fault(404, 'unknown_run', 'there is no such run; it may have ended')
    case 'unavailable':
      return fault(503, 'state_unavailable', 'this run is not known here, and the state cannot be asked; try again')
    default:
      return how satisfies never
  }
}

async function bound(body: unknown, { runs }: RunSources): Promise<HttpAnswer> {
  const asked = boundSchema.safeParse(body)
  if (!asked.success) return mistaken(asked.error)
  const { agent, run_id } = asked.data
  const how = await runs.bind(agent, run_id ?? undefined)
  if (how === 'unknown') return fault(404, 'unknown_agent', `the policy has no agent ${JSON.stringify(agent)}`)
  return json(how === 'bound' ? 200 : 202, { agent, run_id })
}

function mistaken({ issues: [first] }: z.ZodError): HttpAnswer {
  const at = first && first.path.length > 0 ? `${first.path.join('.')}: ` : ''
  return fault(400, 'bad_body', `${at}${first?.message ?? 'this is not what is taken here'}`)
}
