/**
 * All that is outside of the pods of `cluster-net.test.ts`, as one process in a network namespace of its own: hosts that
 * agents want to reach, a resolver that is not ours, and the API server of the cluster. Tells of itself in one line.
 */
import { execFileSync } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { testAuthority } from '../kit/ca.ts'
import { nodeIp, podIp } from '../kit/cluster-net.ts'
import { startGitServer } from '../kit/git.ts'
import { startFakeKube } from '../kit/kube.ts'
import { startResolver } from '../kit/resolver.ts'
import { headerOf, startUpstream } from '../kit/upstream.ts'

export interface Outside {
  readonly upstreamCa: string
  readonly kubeCa: string
}

const [githubToken = '', kubeToken = '', kubeName = ''] = process.argv.slice(2)
const good = await startUpstream({
  certificate: testAuthority().leaf('good.test'),
  // Says whether the real value came, and not what it is.
  handler: ({ request, response }) => {
    if (request.url?.startsWith('/sse/')) return false
    const real = headerOf(request.rawHeaders, 'authorization') === `Bearer ${githubToken}`
    response.end(real ? 'with the real value' : 'without it')
    return true
  },
})
const github = await startGitServer({ certificate: testAuthority().leaf('github.com'), token: githubToken })
await github.makeRepository('crew/tools')
const resolver = await startResolver({ 'good.test': ['192.0.2.1'] })
const kube = await startFakeKube(kubeToken, kubeName)
kube.put({ uid: 'a', labels: { agent: 'a' }, ip: podIp('a'), hostIP: nodeIp('one') })
kube.put({ uid: 'b', labels: { agent: 'b' }, ip: podIp('b'), hostIP: nodeIp('two') })

// The kit's servers are on loopback; from other pods one comes to an address that is not.
const places = [
  ['tcp', 443, good.port],
  ['tcp', 9443, github.port],
  ['tcp', 6443, kube.port],
  ['udp', 53, resolver.port],
  ['tcp', 53, resolver.port],
] as const
execFileSync('sysctl', ['-qw', 'net.ipv4.conf.all.route_localnet=1'])
const turned = places.map(([proto, port, to]) => `${proto} dport ${port} dnat to 127.0.0.1:${to}`).join('\n')
execFileSync('nft', ['-f', '-'], {
  input: `table ip outside { chain in { type nat hook prerouting priority dstnat;\n${turned}\n}\n}\n`,
})
// QUIC, as far as a packet goes.
const quic = createSocket('udp4', (_, { port, address }) => quic.send('heard', port, address))
quic.bind(443)

const outside: Outside = { upstreamCa: testAuthority().certPem, kubeCa: kube.ca }
process.stdout.write(`${JSON.stringify(outside)}\n`)
