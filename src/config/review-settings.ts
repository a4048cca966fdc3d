/** What is doubtful about settings that load: said by `check`, by `doctor` and at start. */
import { parseCidr, inCidr } from '#base/address.ts'
import { pathText } from './issue.ts'
import type { Issue } from './issue.ts'
import type { Origin } from './settings.ts'
import { settingKeys } from './setting-keys.ts'
import type { Settings } from './settings-schema.ts'

const loopback = ['127.0.0.0/8', '::1/128'].map(parseCidr)

/** Warnings, each with the place that the setting came from. */
export function reviewSettings(settings: Settings, origins: ReadonlyMap<string, Origin>, file = 'settings'): readonly Issue[] {
  const { admin } = settings.listen
  if (admin === 'off' || 'socket' in admin || settings.adminToken !== undefined) return []
  // A proxy refuses to start with an address that other machines reach and no token.
  if (!loopback.some((range) => range && inCidr(admin.address, range))) return []
  const path = ['listen', 'admin']
  const key = settingKeys.find((each) => pathText(each.path) === pathText(path))
  const origin = origins.get(pathText(path))?.origin
  const place = origin === 'flag' ? `--${key?.flag}` : origin === 'env' ? (key?.env ?? file) : file
  return [{ severity: 'warning', position: { file: place, line: 0, column: 0 }, path: pathText(path), message: open }]
}

const open =
  'any process of this machine can set budgets, log in and mint runs on this port; write unix:PATH, which only its owner may open, ' +
  'or name a file with a token as `adminToken`'
