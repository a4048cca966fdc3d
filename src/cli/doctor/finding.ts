/** What one check found. What is skipped could not be looked at, and says why. */
export interface Finding {
  readonly check: string
  readonly result: 'pass' | 'fail' | 'skip'
  readonly detail: string
  /** What to do; of what failed only. */
  readonly remedy?: string
}

export function pass(check: string, detail: string): Finding {
  return { check, result: 'pass', detail }
}

export function fail(check: string, detail: string, remedy: string): Finding {
  return { check, result: 'fail', detail, remedy }
}

export function skip(check: string, detail: string): Finding {
  return { check, result: 'skip', detail }
}

/** Those that failed; where none did, that it is well. */
export function failuresOr(findings: readonly Finding[], well: Finding): readonly Finding[] {
  return findings.length > 0 ? findings : [well]
}

/** The place of the proxy as this container sees it. */
export interface ProxyPlace {
  readonly address: string
  readonly dns: number
  readonly https: number
}
