/** Every scenario, in the order it runs. */
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
  switches,
  rules,
  doors,
  workers,
  h2,
  handshakes,
  hosts,
  flood,
  bulk,
  events,
  metering,
  idle,
  websocket,
  dns,
  process,
]
