/** Does everything go to the proxy, and does nothing go around it? */
import { Resolver } from 'node:dns/promises'
import { connect } from 'node:net'
import { selfHost } from '#journey/self.ts'
import { fail, failuresOr, pass, type Finding, type ProxyPlace } from './finding.ts'

/** Milliseconds: a packet that a policy drops is never answered. */
const patience = 2_000

/** `/etc/resolv.conf` must name the proxy alone: a second nameserver is asked whenever the first is slow. */
export function checkResolvConf(text: string, { address }: ProxyPlace): Finding {
  const servers = [...text.matchAll(/^\s*nameserver\s+(\S+)/gm)].map(([, server = '']) => server)
  const others = servers.filter((server) => server !== address)
  const remedy = `set dnsPolicy: None and dnsConfig.nameservers: [${address}]; \`iron-proxy init --workload\` writes it`
  if (servers.length === 0) return fail('resolver', 'no nameserver is configured', remedy)
  if (others.length > 0)
    return fail('resolver', `names are asked of ${others.join(', ')} too, and not of the proxy alone`, remedy)
  return pass('resolver', `names are asked of ${address} alone`)
}

/** The proxy answers its own name with its own address; anybody else does not know it. */
export async function checkDns({ address, dns }: ProxyPlace): Promise<Finding> {
  try {
    const found = await ask(address, dns, selfHost)
    if (found.includes(address)) return pass('dns', `${address} answers as the proxy does`)
    return fail(
      'dns',
      `${selfHost} is ${found.join(', ')} and not ${address}`,
      'point DNS at the proxy, and its `advertise` at its Service',
    )
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? ''
    if (code === 'EREFUSED')
      return fail(
        'dns',
        `${address} refuses to answer, since it knows no single agent at our address`,
        'see what `identity` says',
      )
    if (code === 'ESERVFAIL')
      return fail(
        'dns',
        `${address} has no policy in force`,
        'see the log of the proxy, and run `iron-proxy check` on its policies',
      )
    if (code === 'ENOTFOUND' || code === 'ENODATA')
      return fail('dns', `${address} does not know the proxy’s name, so it is another resolver`, 'point DNS at the proxy')
    return fail(
      'dns',
      `${address} does not answer (${code})`,
      'is the proxy running, and does the NetworkPolicy allow port 53, UDP and TCP?',
    )
  }
}

/** Each of these must be dead: they are ways around the proxy. */
export async function checkEgress(targets: readonly string[]): Promise<readonly Finding[]> {
  const open = await Promise.all(
    targets.map(async (target) => {
      const place = /^\[?(.*?)\]?:(\d+)$/.exec(target)
      return place && (await connects(place[1] ?? '', Number(place[2]))) ? [target] : []
    }),
  )
  return failuresOr(
    open.flat().map((target) => fail('egress', `${target} can be reached without the proxy`, egressRemedy)),
    pass('egress', `none of ${targets.join(', ')} can be reached directly`),
  )
}

/** The same for DNS: a resolver that answers is a way out, a name at a time. */
export async function checkForeignDns(servers: readonly string[]): Promise<readonly Finding[]> {
  const answering = await Promise.all(
    servers.map(async (server) => {
      const [, address = '', port = '53'] = /^\[?(.*?)\]?(?::(\d+))?$/.exec(server) ?? []
      return (await answers(address, Number(port))) ? [server] : []
    }),
  )
  return failuresOr(
    answering.flat().map((server) => fail('foreign-dns', `the resolver ${server} answers us`, egressRemedy)),
    pass('foreign-dns', `none of ${servers.join(', ')} answers`),
  )
}

const egressRemedy =
  'apply the NetworkPolicy that `iron-proxy init --workload` prints, and see that the cluster’s network enforces such policies'

async function ask(address: string, port: number, name: string): Promise<readonly string[]> {
  const resolver = new Resolver({ timeout: patience, tries: 1 })
  resolver.setServers([address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`])
  return address.includes(':') ? resolver.resolve6(name) : resolver.resolve4(name)
}

async function answers(address: string, port: number): Promise<boolean> {
  try {
    await ask(address, port, 'example.com')
    return true
  } catch (error) {
    // These are answers too.
    return ['ENOTFOUND', 'ENODATA', 'ESERVFAIL', 'EREFUSED', 'EFORMERR', 'ENOTIMP'].includes(
      (error as NodeJS.ErrnoException).code ?? '',
    )
  }
}

function connects(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: patience })
    const end = (reached: boolean) => {
      socket.destroy()
      resolve(reached)
    }
    socket
      .once('connect', () => end(true))
      .once('timeout', () => end(false))
      .once('error', () => end(false))
  })
}
