/**
 * Pods behind a ClusterIP, as kube-proxy makes it with nftables: network namespaces around one that routes and is the
 * node. Destinations are turned to either proxy's unprivileged ports, a NetworkPolicy is a filter on the way, and
 * masquerading can be switched on for a pod. Nothing of it touches the network of the machine.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { have, run, type Run, type RunOptions } from './clients.ts'

/** Address of the Service: no interface has it. */
export const clusterIp = '198.18.0.53'

/** The one name that pods know without asking: where the API server of the cluster is. */
export const apiName = 'kube.test'

/** Third number of each pod's network; the pod has .2 there, and the node .1. */
const networks = { a: 10, b: 11, stranger: 12, outside: 20, one: 21, two: 22 } as const
export type PodName = keyof typeof networks

export const podIp = (name: PodName): string => `198.18.${networks[name]}.2`
/** What the node is called on the way to a pod. */
export const nodeIp = (name: PodName): string => `198.18.${networks[name]}.1`

export interface ClusterNet extends AsyncDisposable {
  /** Runs a program in a pod whose DNS is the Service. */
  run(pod: PodName, program: string, args: readonly string[], options?: RunOptions): Promise<Run>
  /** Starts a program in a pod; it ends with the net. */
  start(pod: PodName, program: string, args: readonly string[]): ChildProcess
  /** Runs nft commands on the node. */
  nft(commands: string): void
  /** From now on agents may reach the proxies and nothing else. */
  lock(locked: boolean): void
  masquerade(pod: PodName, on: boolean): void
  /** New connections go to these from now on; those that are open stay where they are. */
  endpoints(...proxies: readonly ('one' | 'two')[]): void
}

/** Why this machine cannot have one; `undefined`: it can. */
export function whyNoClusterNet(): string | undefined {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'needs root on Linux'
  const missing = ['ip', 'nft', 'nsenter', 'unshare', 'dig'].filter((program) => !have(program))
  if (missing.length > 0) return `needs ${missing.join(', ')}`
  const probe = `probe${process.pid}`
  try {
    execFileSync('ip', ['netns', 'add', probe], { stdio: 'ignore' })
    execFileSync('ip', ['netns', 'exec', probe, 'nft', 'add', 'table', 'ip', 'probe'], { stdio: 'ignore' })
    return undefined
  } catch {
    return 'needs the right to make network namespaces'
  } finally {
    try {
      execFileSync('ip', ['netns', 'delete', probe], { stdio: 'ignore' })
    } catch {
      // It was never made.
    }
  }
}

/** Ports of the Service, and of the pods behind it. */
const ports = [
  ['udp', 53, 1053],
  ['tcp', 53, 1053],
  ['tcp', 80, 10_080],
  ['tcp', 443, 10_443],
  ['tcp', 8080, 8080],
] as const

/** `folder`: for the resolver's settings. */
export function makeClusterNet(folder: string): ClusterNet {
  const prefix = `ipx${randomBytes(3).toString('hex')}`
  const names = ['node', ...Object.keys(networks)]
  const space = (name: string): string => `${prefix}-${name}`
  const ip = (...args: readonly string[]): void => void execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] })
  const inside = (name: string, program: string, args: readonly string[], input?: string): void =>
    void execFileSync('ip', ['netns', 'exec', space(name), program, ...args], { input, stdio: ['pipe', 'ignore', 'pipe'] })
  const started: ChildProcess[] = []
  const dispose = async (): Promise<void> => {
    for (const child of started) child.kill('SIGKILL')
    for (const child of started) if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    for (const name of names) {
      try {
        ip('netns', 'delete', space(name))
      } catch {
        // It was never made.
      }
    }
  }
  try {
    for (const name of names) {
      ip('netns', 'add', space(name))
      ip('-n', space(name), 'link', 'set', 'lo', 'up')
    }
    inside('node', 'sysctl', ['-qw', 'net.ipv4.ip_forward=1'])
    for (const [name, net] of Object.entries(networks)) {
      ip('link', 'add', 'eth0', 'netns', space(name), 'type', 'veth', 'peer', 'name', `v${net}`, 'netns', space('node'))
      ip('-n', space(name), 'addr', 'add', `198.18.${net}.2/24`, 'dev', 'eth0')
      ip('-n', space('node'), 'addr', 'add', `198.18.${net}.1/24`, 'dev', `v${net}`)
      ip('-n', space(name), 'link', 'set', 'eth0', 'up')
      ip('-n', space('node'), 'link', 'set', `v${net}`, 'up')
      ip('-n', space(name), 'route', 'add', 'default', 'via', `198.18.${net}.1`)
    }
    inside('node', 'nft', ['-f', '-'], rules())
    // kube-proxy forgets the UDP flows of an endpoint that is gone; here they are forgotten by themselves, within a second. A
    // question from a port that was used before would reach the old endpoint otherwise.
    inside('node', 'sysctl', [
      '-qw',
      'net.netfilter.nf_conntrack_udp_timeout=1',
      'net.netfilter.nf_conntrack_udp_timeout_stream=1',
    ])
  } catch (error) {
    void dispose()
    throw error
  }
  const resolvConf = join(folder, 'pod-resolv.conf')
  writeFileSync(
    resolvConf,
    `nameserver ${clusterIp}\nsearch agents.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:2 timeout:2\n`,
  )
  const hosts = join(folder, 'pod-hosts')
  writeFileSync(hosts, `127.0.0.1 localhost\n${podIp('outside')} ${apiName}\n`)
  // A mount namespace of its own, so that the pod's resolver settings are no one else's.
  const entering = (pod: PodName, program: string, args: readonly string[]): readonly string[] => [
    `--net=/run/netns/${space(pod)}`,
    'unshare',
    '--mount',
    'sh',
    '-c',
    'mount --bind "$0" /etc/resolv.conf && mount --bind "$1" /etc/hosts && shift && exec "$@"',
    resolvConf,
    hosts,
    program,
    ...args,
  ]
  const agents = `{ ${podIp('a')}, ${podIp('b')}, ${podIp('stranger')} }`
  const nft = (commands: string): void => inside('node', 'nft', ['-f', '-'], commands)
  return {
    run: (pod, program, args, options) => run('nsenter', entering(pod, program, args), options),
    start(pod, program, args) {
      const child = spawn('nsenter', entering(pod, program, args), { stdio: ['ignore', 'pipe', 'pipe'] })
      started.push(child)
      return child
    },
    nft,
    lock: (locked) => nft(`flush set ip cluster agents\n${locked ? `add element ip cluster agents ${agents}` : ''}\n`),
    masquerade: (pod, on) => nft(`${on ? 'add' : 'delete'} element ip cluster masqueraded { ${podIp(pod)} }\n`),
    endpoints: (...proxies) =>
      nft(
        `flush chain ip cluster services\n${turns(proxies)
          .map((rule) => `add rule ip cluster services ${rule}\n`)
          .join('')}`,
      ),
    [Symbol.asyncDispose]: dispose,
  }
}

/** What kube-proxy does with a Service of these endpoints. */
function turns(proxies: readonly ('one' | 'two')[]): readonly string[] {
  const either = `numgen random mod ${proxies.length} map { ${proxies.map((name, i) => `${i} : ${podIp(name)}`).join(', ')} }`
  return ports.map(([proto, port, target]) => `ip daddr ${clusterIp} ${proto} dport ${port} dnat to ${either} : ${target}`)
}

function rules(): string {
  const proxies = `{ ${podIp('one')}, ${podIp('two')} }`
  return `table ip cluster {
  set agents { type ipv4_addr; }
  set masqueraded { type ipv4_addr; }
  chain services { type nat hook prerouting priority dstnat;
    ${turns(['one', 'two']).join('\n    ')}
  }
  chain leaving { type nat hook postrouting priority srcnat;
    ip saddr @masqueraded masquerade
  }
  chain policies { type filter hook forward priority filter;
    ct state established,related accept
    ip saddr @agents ip daddr ${proxies} tcp dport { 1053, 10080, 10443, 8080 } accept
    ip saddr @agents ip daddr ${proxies} udp dport 1053 accept
    ip saddr @agents counter drop
  }
}
`
}
