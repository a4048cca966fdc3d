/** The first grant, from a file an operator has: our own shape, or what a client has written after a login. */
import { ProxyError } from '#base/errors.ts'
import type { Pair } from '../lease.ts'
import { asObject, latestSecond, numberIn, objectIn, pairOf, scopesIn, tokenIn } from './token-pair.ts'

interface Written {
  readonly access: unknown
  readonly refresh: unknown
  /** A time, and how many of its units make a second. */
  readonly expiry: unknown
  readonly perSecond: 1 | 1000
  readonly scopes: readonly string[] | undefined
}

/**
 * Reads `{"access_token", "refresh_token", "expires_at": seconds}`, or the file of Claude Code, Codex or Gemini CLI.
 * Throws `credential_unavailable` without quoting what it read.
 */
export function readSeed(content: string): Pair {
  const file = objectIn(content)
  if (!file) throw unusable('it is not a JSON object')
  const written = claudeCode(file) ?? codex(file) ?? plain(file)
  const access = tokenIn(written.access)
  if (access === undefined) throw unusable('it has no access token; write {"access_token", "refresh_token", "expires_at"}')
  const refresh = tokenIn(written.refresh)
  // Clients write null or "" where there is none.
  if (refresh === undefined && (written.refresh ?? '') !== '') throw unusable('its refresh token is not a token')
  return pairOf(access, refresh, timeOf(written), written.scopes)
}

/** `~/.claude/.credentials.json`: times in milliseconds. */
function claudeCode(file: Readonly<Record<string, unknown>>): Written | undefined {
  const login = asObject(file['claudeAiOauth'])
  if (!login) return undefined
  const scopes = Array.isArray(login['scopes']) ? scopesIn(login['scopes'].join(' ')) : undefined
  return { access: login['accessToken'], refresh: login['refreshToken'], expiry: login['expiresAt'], perSecond: 1000, scopes }
}

/** `~/.codex/auth.json`: the access token is a JWT and says itself when it ends. */
function codex(file: Readonly<Record<string, unknown>>): Written | undefined {
  const tokens = asObject(file['tokens'])
  if (!tokens) return undefined
  return { access: tokens['access_token'], refresh: tokens['refresh_token'], expiry: undefined, perSecond: 1, scopes: undefined }
}

/** Ours, and `~/.gemini/oauth_creds.json`, whose `expiry_date` is in milliseconds. */
function plain(file: Readonly<Record<string, unknown>>): Written {
  const ours = file['expires_at'] !== undefined || file['expiry_date'] === undefined
  return {
    access: file['access_token'],
    refresh: file['refresh_token'],
    expiry: ours ? file['expires_at'] : file['expiry_date'],
    perSecond: ours ? 1 : 1000,
    scopes: scopesIn(file['scope']),
  }
}

function timeOf({ expiry, perSecond }: Written): number | undefined {
  if (expiry === undefined || expiry === null) return undefined
  const time = numberIn(expiry)
  if (time === undefined || time < 0 || time >= latestSecond * perSecond) {
    throw unusable(`its expiry is not a time in ${perSecond === 1 ? 'seconds' : 'milliseconds'} since the epoch`)
  }
  return (time * 1000) / perSecond
}

function unusable(reason: string): ProxyError {
  return new ProxyError('credential_unavailable', `the grant cannot be used: ${reason}`)
}
