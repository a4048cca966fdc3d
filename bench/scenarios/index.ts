/** Every scenario, in the order it runs: those that have targets first, should time run out. */
import type { Scenario } from '../types.ts'
import { bulk } from './bulk.ts'
import { flood, handshakes, hosts } from './connections.ts'
import { dns } from './dns.ts'
import { events, idle, metering } from './events.ts'
import { h2 } from './h2.ts'
import { json } from './json.ts'
import { doors, rules, switches, workers } from './ours.ts'
import { process } from './process.ts'
import { websocket } from './websocket.ts'

export const scenarios: readonly Scenario[] = [
  json,
  handshakes,
  hosts,
  flood,
  bulk,
  events,
  idle,
  process,
  dns,
  rules,
  switches,
  workers,
  doors,
  h2,
  websocket,
  metering,
]
