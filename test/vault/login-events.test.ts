import { describe, expect, it } from 'vitest'
import { LoginEvents } from '#vault/login-events.ts'
import type { LeaseEvent } from '#vault/leases/lease-status.ts'

type Kind = LeaseEvent['kind']

function turns(incidents: LoginEvents, kinds: readonly Kind[], credential = 'claude'): readonly string[] {
  return kinds.map((kind) => incidents.turn({ kind, credential }))
}

describe('an incident', () => {
  it.each<readonly [string, readonly Kind[], readonly string[]]>([
    ['begins once', ['needs_login', 'needs_login', 'needs_login'], ['begun', 'known', 'known']],
    ['ends with a login', ['needs_login', 'adopted', 'adopted'], ['begun', 'recovered', 'none']],
    ['ends with a new seed', ['needs_login', 'seed_adopted'], ['begun', 'recovered']],
    ['ends with a call that succeeds after all', ['needs_login', 'refreshed'], ['begun', 'recovered']],
    ['goes on while another configuration is tried', ['needs_login', 'reopened', 'needs_login'], ['begun', 'none', 'known']],
    ['is none while a refresh fails', ['refresh_failed', 'store_failed', 'refreshed'], ['none', 'none', 'none']],
    ['begins anew after it has ended', ['needs_login', 'adopted', 'needs_login'], ['begun', 'recovered', 'begun']],
  ])('%s', (_name, kinds, expected) => {
    expect(turns(new LoginEvents(), kinds)).toEqual(expected)
  })

  it('is of one credential, and is forgotten with it', () => {
    const incidents = new LoginEvents()
    expect(turns(incidents, ['needs_login'], 'claude')).toEqual(['begun'])
    expect(turns(incidents, ['needs_login', 'adopted'], 'codex')).toEqual(['begun', 'recovered'])
    incidents.keep(new Set(['claude']))
    expect(turns(incidents, ['needs_login'], 'claude')).toEqual(['known'])
    incidents.keep(new Set())
    expect(turns(incidents, ['needs_login'], 'claude')).toEqual(['begun'])
  })
})
