/**
 * Agents that share the proxy's machine, its network and its user can read its secrets and its policy from the disk: no firewall of
 * the network helps there. The kernel says whose a loopback connection is (proc(5), `/proc/net/tcp`), so the operator is warned.
 */
import { readFile } from 'node:fs/promises'
import type { AuditRecord } from '#contracts/audit-record.ts'

export interface NeighbourPorts {
  /** Ours; `undefined` where the system has none. */
  readonly uid: number | undefined
  readonly log: { warn(fields: object, message: string): void }
  /** The text of the kernel's table of TCP sockets, of IPv4 or IPv6. */
  readonly table?: (version: 4 | 6) => Promise<string>
}

/** Reads of the table for one agent whose connections it does not show: with many sockets each takes milliseconds. */
const mostLooks = 20

/** Looks at each agent once, with the first of its connections that the kernel still knows. */
export class Neighbours {
  readonly #ports: NeighbourPorts
  readonly #doors: () => readonly number[]
  readonly #known = new Set<string>()
  readonly #looks = new Map<string, number>()
  #looking = false

  /** `doors`: the ports that agents connect to. */
  constructor(ports: NeighbourPorts, doors: () => readonly number[]) {
    this.#ports = ports
    this.#doors = doors
  }

  /**
   * A run speaks through the relay of its sandbox, which is the user's own process: the program behind it has a namespace of its own. It
   * asks for names too, and DNS knows no runs.
   */
  observe({ agent, peer, runId, type }: Pick<AuditRecord, 'agent' | 'peer' | 'runId' | 'type'>): void {
    if (agent === null || runId !== undefined || type === 'dns') return
    if (this.#looking || this.#known.has(agent) || !isLoopback(peer)) return
    const looks = this.#looks.get(agent) ?? 0
    if (looks === mostLooks) return
    this.#looks.set(agent, looks + 1)
    this.#looking = true
    void this.#look(agent, peer).finally(() => (this.#looking = false))
  }

  async #look(agent: string, peer: string): Promise<void> {
    const { uid: ours, table = kernelTable, log } = this.#ports
    if (ours === undefined) return
    const uids = ownersAt(await table(peer.includes(':') ? 6 : 4).catch(() => ''), peer, this.#doors())
    if (uids.length === 0) return
    this.#known.add(agent)
    const reading = uids.find((uid) => uid === ours || uid === 0)
    if (reading === undefined) return
    const who = reading === ours ? 'the same user as the proxy' : 'root'
    log.warn(
      { event: 'agent', agent },
      `agent ${agent} runs as ${who} on this machine and can read secrets, state and the CA key; start it with \`iron-proxy sandbox -- PROGRAM\`, or as another user`,
    )
  }
}

function isLoopback(peer: string): boolean {
  return peer.startsWith('127.') || peer === '::1'
}

function kernelTable(version: 4 | 6): Promise<string> {
  return readFile(version === 4 ? '/proc/net/tcp' : '/proc/net/tcp6', 'utf8')
}

/** The users whose established connections come from a loopback address and lead to one of our ports. A socket that is closing belongs to no user any more. */
export function ownersAt(table: string, address: string, ports: readonly number[]): readonly number[] {
  const local = hexOf(address)
  const doors = new Set(ports.map((port) => port.toString(16).padStart(4, '0').toUpperCase()))
  const established = '01'
  const rows = table
    .split('\n')
    .slice(1)
    .map((row) => row.trim().split(/\s+/))
  // sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid
  const uids = rows.flatMap(([, at, to, state, , , , uid]) =>
    at?.startsWith(`${local}:`) && doors.has(to?.split(':')[1] ?? '') && state === established ? [Number(uid)] : [],
  )
  return [...new Set(uids)]
}

/** As the kernel of a little-endian machine prints it: each word of 32 bits has its bytes in reverse. */
function hexOf(address: string): string {
  if (address === '::1') return '00000000000000000000000001000000'
  return address
    .split('.')
    .map((part) => Number(part).toString(16).padStart(2, '0').toUpperCase())
    .toReversed()
    .join('')
}
