/** Two proxies behind a ClusterIP, pods before it: who is served, as whom, and what is left of the ways around. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Run } from '../kit/clients.ts'
import { clusterIp, nodeIp, podIp, whyNoClusterNet, type ClusterNet, type PodName } from '../kit/cluster-net.ts'
import { within } from '../kit/within.ts'
import { startCluster, type ClusterStage } from './cluster-stage.ts'

const reason = whyNoClusterNet()
const cleanUp = new AsyncDisposableStack()
let stage: ClusterStage
let net: ClusterNet
let python: string
let trust: Readonly<Record<string, string>>

beforeAll(async () => {
  if (reason !== undefined) return
  stage = cleanUp.use(await startCluster())
  ;({ net, python, trust } = stage)
  await Promise.all([stage.startProxy('one'), stage.startProxy('two')])
})
afterAll(() => cleanUp.disposeAsync())

const curl = (pod: PodName, url: string, ...more: readonly string[]): Promise<Run> =>
  net.run(pod, 'curl', ['-qsS', '--max-time', '10', ...more, url], { env: trust })
const dig = (pod: PodName, server: string, name: string, ...more: readonly string[]): Promise<Run> =>
  net.run(pod, 'dig', [`@${server}`, name, 'A', '+short', '+tries=1', '+time=2', ...more])

describe.skipIf(reason !== undefined)(`pods behind a ClusterIP${reason === undefined ? '' : ` (${reason})`}`, () => {
  test('names lead to the Service, over UDP and TCP, whichever proxy answers', async () => {
    for (const transport of ['+notcp', '+tcp'])
      for (let time = 0; time < 6; time += 1)
        expect((await dig('a', clusterIp, 'good.test', transport)).stdout).toBe(`${clusterIp}\n`)
  })

  test.each<[string, () => Promise<Run>, RegExp]>([
    ['curl', () => curl('a', 'https://good.test/x', '-H', 'Authorization: Bearer proxy-token-github'), /^with the real value$/],
    [
      'Node',
      () =>
        net.run(
          'a',
          process.execPath,
          [
            '-e',
            `fetch('https://good.test/x', {headers: {authorization: 'Bearer proxy-token-github'}}).then((r) => r.text()).then(console.log)`,
          ],
          { env: trust },
        ),
      /^with the real value\n$/,
    ],
    [
      'Python',
      () =>
        net.run(
          'a',
          python,
          [
            '-c',
            `import urllib.request as u; print(u.urlopen(u.Request('https://good.test/x', headers={'Authorization': 'Bearer proxy-token-github'})).read().decode())`,
          ],
          { env: trust },
        ),
      /^with the real value\n$/,
    ],
    [
      'git',
      () =>
        net.run('a', 'git', ['ls-remote', 'https://agent:proxy-token-github@github.com/crew/tools.git'], {
          env: { ...trust, GIT_TERMINAL_PROMPT: '0' },
        }),
      /refs\/heads\//,
    ],
  ])('%s reaches an allowed host with a stub', async (_, ask, expected) => {
    const { stdout, stderr } = await ask()
    expect(stdout, stderr).toMatch(expected)
  })

  test('a refusal can be read, and says who was refused', async () => {
    const { stdout } = await curl('b', 'https://evil.test/')
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'host_denied', agent: 'b', host: 'evil.test' } })
    const git = await net.run('b', 'git', ['ls-remote', 'https://github.com/others/secret.git'], {
      env: { ...trust, GIT_TERMINAL_PROMPT: '0' },
    })
    expect(git.stderr).toMatch(/403/)
  })

  test('each pod is known by its own address, at both proxies, and a pod of nobody is told so', async () => {
    for (let time = 0; time < 8; time += 1) for (const pod of ['a', 'b'] as const) await curl(pod, `https://good.test/who-${pod}`)
    const asked = async () => (await stage.audit()).filter(({ path }) => path?.startsWith('/who-'))
    expect(await within(async () => (await asked()).length === 16)).toBeDefined()
    const served = await asked()
    for (const { agent, peer, path } of served) expect([agent, peer]).toEqual([path?.slice(5), podIp(path?.slice(5) as PodName)])
    expect(new Set(served.map(({ proxy }) => proxy)).size).toBe(2)
    const { stdout } = await curl('stranger', 'https://good.test/', '--resolve', `good.test:443:${clusterIp}`)
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'agent_unknown', agent: null } })
  })

  test('the script of the proxy looks at a container that has curl and a shell alone', async () => {
    const doctor = (pod: PodName, env: Readonly<Record<string, string>>): Promise<Run> =>
      net.run(pod, 'sh', ['-c', 'script=$(curl -qsf http://iron-proxy.internal/doctor) && sh -c "$script"'], { env })
    const well = await doctor('a', trust)
    expect(well.stdout).not.toContain('FAIL')
    expect(well.code).toBe(0)
    expect(well.stdout).toContain('the proxy knows this container as a')
    const key = `ghp_${'x'.repeat(36)}`
    const ill = await doctor('a', { ...trust, NODE_EXTRA_CA_CERTS: '', GH_TOKEN: key })
    expect(ill.code).toBe(1)
    expect(ill.stdout.match(/^FAIL {2}\w+/gm)).toEqual(['FAIL  variable', 'FAIL  secrets'])
    expect(ill.stdout).not.toContain(key)
    expect((await doctor('stranger', trust)).code).not.toBe(0)
  })

  test('a source that was masqueraded on its way is refused, and named', async () => {
    net.masquerade('b', true)
    try {
      const { stdout } = await curl('b', 'https://good.test/', '--resolve', `good.test:443:${clusterIp}`)
      const { error } = JSON.parse(stdout) as { error: { code: string; message: string } }
      expect(error.code).toBe('agent_masqueraded')
      expect([nodeIp('one'), nodeIp('two')].some((address) => error.message.includes(address))).toBe(true)
    } finally {
      net.masquerade('b', false)
    }
    expect((await curl('b', 'https://good.test/')).stdout).toBe('without it')
  })

  test('with the NetworkPolicy the ways around are dead, and the way through is not', async () => {
    const outside = podIp('outside')
    const quic = `import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(1); s.sendto(b'hello', ('${outside}', 443)); print(s.recv(9))`
    const ways = async (): Promise<readonly number[]> =>
      (
        await Promise.all([
          curl('a', 'https://good.test/', '--resolve', `good.test:443:${outside}`, '--insecure', '--max-time', '2'),
          net.run('a', python, ['-c', quic]),
          dig('a', outside, 'good.test'),
          dig('a', outside, 'good.test', '+tcp'),
          curl('a', `http://${podIp('one')}:9464/metrics`, '--max-time', '2'),
        ])
      ).map(({ code }) => code)
    // They are there to be closed: but for the last, since the metrics are on loopback.
    expect((await ways()).slice(0, 4)).toEqual([0, 0, 0, 0])
    net.lock(true)
    try {
      expect((await ways()).every((code) => code !== 0)).toBe(true)
      expect((await curl('a', 'https://good.test/')).stdout).toBe('without it')
      expect((await dig('a', clusterIp, 'good.test')).stdout).toBe(`${clusterIp}\n`)
    } finally {
      net.lock(false)
    }
  })
})
