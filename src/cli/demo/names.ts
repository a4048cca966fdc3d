import { Resolver } from 'node:dns/promises'
import type { DemoStep } from './step.ts'

const allowed = 'api.github.com'
const unlisted = 'unlisted.example.net'

export const names: DemoStep = {
  title: 'DNS: an allowed name leads to the proxy, and no name is ever looked up for an agent',
  async act({ ports, agent }) {
    const resolver = new Resolver({ timeout: 2_000, tries: 1 })
    resolver.setServers([`127.0.0.1:${ports.dns}`])
    const [address = 'nothing'] = await resolver.resolve4(allowed)
    const six = await resolver.resolve6(allowed).catch((error: NodeJS.ErrnoException) => error.code)
    const [sinkhole = 'nothing'] = await resolver.resolve4(unlisted)
    agent.address = address
    return {
      rows: [
        ['agent asked', `${allowed} A\n→ ${address}, the proxy, wherever GitHub may be today`],
        ['agent asked', `${allowed} AAAA\n→ ${six === 'ENODATA' ? 'no such record' : String(six)}: there is no way around`],
        ['agent asked', `${unlisted} A\n→ ${sinkhole}, the proxy too: there the client reads why it is refused`],
      ],
      held: {
        'an allowed name has the address of the proxy': address === '127.0.0.1',
        'it has no IPv6 address': six === 'ENODATA',
        'an unlisted name leads to the refusal': sinkhole === '127.0.0.1',
      },
    }
  },
}
