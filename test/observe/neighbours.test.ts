import { describe, expect, it } from 'vitest'
import { Neighbours, ownersAt } from '#observe/neighbours.ts'

// As Linux 6 prints it: 127.0.0.1:54321 → 127.0.0.1:8080 of uid 1000, the other end of it, and one that is closing.
const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1 0 100 0 0 10 0
   1: 0100007F:D431 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1000        0 12 1 0 20 4 30 10 -1
   2: 0100007F:1F90 0100007F:D431 01 00000000:00000000 00:00000000 00000000     7        0 13 1 0 20 4 30 10 -1
   3: 0100007F:D432 0100007F:1F90 06 00000000:00000000 00:00000000 00000000     0        0 0 3 0
   4: 0200007F:D433 0100007F:1F90 01 00000000:00000000 00:00000000 00000000    33        0 14 1 0
`
const table6 = `  sl  local_address                         remote_address                        st
   0: 00000000000000000000000001000000:D431 00000000000000000000000001000000:1F90 01 0:0 00:0 0  1001 0 12
`

describe('the owner of a loopback connection', () => {
  it.each([
    ['an agent of this machine', table, '127.0.0.1', [8080], [1000]],
    ['another address', table, '127.0.0.2', [8080], [33]],
    ['connections that lead elsewhere', table, '127.0.0.1', [9090], []],
    ['IPv6', table6, '::1', [8080], [1001]],
    ['no table', '', '127.0.0.1', [8080], []],
  ] as const)('is read from the table of the kernel: %s', (_name, text, address, ports, uids) => {
    expect(ownersAt(text, address, ports)).toEqual(uids)
  })
})

async function warnings(
  uid: number | undefined,
  ...records: { agent: string | null; peer: string; runId?: string; type?: 'dns' }[]
) {
  const said: string[] = []
  const log = { warn: (_fields: object, message: string) => void said.push(message) }
  const neighbours = new Neighbours({ uid, log, table: () => Promise.resolve(table) }, () => [8080])
  for (const record of records) {
    neighbours.observe({ type: 'request', ...record })
    await new Promise(setImmediate)
  }
  return said
}

describe('an agent beside the proxy', () => {
  const local = { agent: 'local', peer: '127.0.0.1' }

  it('is warned of once where its user can read the files of the proxy', async () => {
    const said = await warnings(1000, local, local, { agent: 'other', peer: '127.0.0.1' })
    expect(said).toHaveLength(2)
    expect(said[0]).toContain('agent local runs as the same user as the proxy on this machine and can read secrets')
    expect(said[0]).toContain('iron-proxy sandbox -- PROGRAM')
  })

  it.each([
    ['of another user', 1234, local],
    ['of another machine', 1000, { agent: 'local', peer: '10.0.0.1' }],
    ['in a sandbox, whose relay is the user’s', 1000, { ...local, runId: 'r' }],
    ['that asks for a name', 1000, { ...local, type: 'dns' }],
    ['that is not known', 1000, { agent: null, peer: '127.0.0.1' }],
    ['on a system that has no users', undefined, local],
  ] as const)('is not warned of when it is one %s', async (_name, uid, record) => {
    expect(await warnings(uid, record)).toEqual([])
  })

  it('is not looked for without end where the table does not show it', async () => {
    let looks = 0
    const read = (): Promise<string> => ((looks += 1), Promise.resolve(''))
    const neighbours = new Neighbours({ uid: 1000, log: { warn: () => {} }, table: read }, () => [8080])
    for (let i = 0; i < 50; i += 1) {
      neighbours.observe({ type: 'request', ...local })
      await new Promise(setImmediate)
    }
    expect(looks).toBe(20)
  })
})
