/** One thing that must hold for the proxy to take traffic. Only what is inside this process: no upstream, no store. */
export interface Check {
  readonly name: string
  readonly ok: boolean
  readonly detail?: string | undefined
}

export interface Health {
  readonly status: 200 | 503
  readonly body: { readonly ok: boolean; readonly failing: readonly Pick<Check, 'name' | 'detail'>[] }
}

/** Ready when it has started and every check holds; the body lists what does not. */
export function readiness(started: boolean, checks: readonly Check[]): Health {
  const failing = checks.filter((check) => !check.ok).map(({ name, detail }) => ({ name, detail }))
  return health(started ? failing : [{ name: 'started', detail: 'still starting' }, ...failing])
}

/** Started once, started for good: what fails later is a matter of readiness. */
export function startup(started: boolean): Health {
  return health(started ? [] : [{ name: 'started', detail: 'still starting' }])
}

function health(failing: Health['body']['failing']): Health {
  const ok = failing.length === 0
  return { status: ok ? 200 : 503, body: { ok, failing } }
}
