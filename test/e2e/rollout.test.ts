/**
 * A rollout under load: one of two proxies is told to stop while agents ask for names, send short requests and read long
 * streams. The Service turns away from it once it says that it is not ready, as Kubernetes does, a moment later.
 */
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { clusterIp, whyNoClusterNet } from '../kit/cluster-net.ts'
import { within } from '../kit/within.ts'
import { startCluster, type ClusterStage } from './cluster-stage.ts'

const reason = whyNoClusterNet()
const cleanUp = new AsyncDisposableStack()
let stage: ClusterStage

beforeAll(async () => {
  if (reason === undefined) stage = cleanUp.use(await startCluster())
})
afterAll(() => cleanUp.disposeAsync())

/**
 * Each question once, without the second try that hides a first that was lost; each request on a connection of its own. A
 * resolver for each that asks: questions of one that overlap would share a socket, and with it an endpoint, for ever.
 */
const load = `
import { Resolver } from 'node:dns/promises'
import { Agent, request } from 'node:https'
const told = (what, how) => console.log(what + ' ' + how)
const names = async () => { const resolver = new Resolver({ timeout: 2000, tries: 1 }); resolver.setServers(['${clusterIp}']); for (;;) { await resolver.resolve4('good.test').then(() => told('dns', 'ok'), (error) => told('dns', error.code)); await pause() } }
const ask = () => new Promise((done) => request('https://good.test/x', { agent: new Agent({ keepAlive: false }) }, (reply) => {
  reply.resume().on('end', () => done(reply.statusCode === 200 ? 'ok' : reply.statusCode)).on('error', (error) => done(error.code))
}).on('error', (error) => done(error.code)).end())
const requests = async () => { for (;;) { told('http', await ask()); await pause() } }
const pause = () => new Promise((later) => setTimeout(later, 10))
void names(); void names(); void requests(); void requests()
`

test.skipIf(reason !== undefined)(
  `a proxy that stops costs no short request, no name and no stream${reason === undefined ? '' : ` (${reason})`}`,
  async () => {
    const { net, trust } = stage
    const [first] = await Promise.all([stage.startProxy('one'), stage.startProxy('two')])
    const told: string[] = []
    // Through env, since a program in a pod is started with the variables of the tests.
    const agent = net.start('a', 'env', [
      ...Object.entries(trust).map(([name, value]) => `${name}=${value}`),
      process.execPath,
      '--input-type=module',
      '-e',
      load,
    ])
    agent.stdout?.setEncoding('utf8').on('data', (text: string) => told.push(...text.split('\n').filter(Boolean)))
    const goesOn = async (): Promise<void> => {
      const before = told.length
      expect(
        await within(
          () => told.slice(before).filter((each) => each === 'http ok').length > 20 && told.slice(before).includes('dns ok'),
          20_000,
        ),
      ).toBeDefined()
    }
    await goesOn()
    const streams = Array.from({ length: 6 }, () =>
      net.run('b', 'curl', ['-qsSN', '--max-time', '20', 'https://good.test/sse/40/150'], { env: trust }),
    )
    // All of them are under way, some at either proxy.
    await sleep(1000)

    const stopped = once(first, 'exit')
    first.kill('SIGTERM')
    expect(await within(async () => !(await stage.isReady('one')), 2000)).toBeDefined()
    await sleep(300)
    net.endpoints('two')
    await goesOn()
    expect(await stopped).toEqual([0, null])
    await goesOn()
    await stage.startProxy('one')
    net.endpoints('one', 'two')
    await goesOn()

    for (const { code, stdout, stderr } of await Promise.all(streams)) {
      expect([code, stderr]).toEqual([0, ''])
      expect(stdout.match(/^data:/gm)).toHaveLength(40)
    }
    expect(told.filter((each) => !each.endsWith(' ok'))).toEqual([])
    const byProxy = (await stage.audit()).filter(({ path }) => path === '/x').map(({ proxy }) => proxy)
    expect(new Set(byProxy).size).toBe(2)
  },
)
