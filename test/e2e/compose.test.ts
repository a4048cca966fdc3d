/** What `deploy/compose.yaml` starts, without its containers: the service, the proxy with its settings, the agent's script. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parse } from 'yaml'
import { describe, expect, it } from 'vitest'
import { loadSettings } from '#config/settings.ts'
import { startTestApp } from '../kit/app.ts'
import type { SettingsInput } from '../kit/app.ts'
import { have, run } from '../kit/clients.ts'

const top = join(import.meta.dirname, '..', '..')
const compose = join(top, 'deploy', 'compose')

interface ComposeFile {
  readonly services: Readonly<Record<string, Service>>
  readonly networks: Readonly<Record<string, { readonly internal?: boolean } | null>>
  readonly volumes: object
}
interface Service {
  readonly networks: Readonly<Record<string, { readonly ipv4_address?: string }>>
  readonly volumes: readonly string[]
}

async function startService(folder: string): Promise<AsyncDisposable & { readonly port: number }> {
  const child = spawn(process.execPath, [join(compose, 'service.ts')], { env: { FOLDER: folder, PORT: '0' }, stdio: 'ignore' })
  const exited = once(child, 'exit')
  while (!existsSync(join(folder, 'ready')) && child.exitCode === null) await sleep(20)
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM')
    await exited
  }
  return { port: Number(await readFile(join(folder, 'ready'), 'utf8')), [Symbol.asyncDispose]: stop }
}

describe('compose.yaml', () => {
  it('locks the agent behind the proxy, at the addresses that settings and policy have', async () => {
    const { services, networks } = parse(await readFile(join(top, 'deploy', 'compose.yaml'), 'utf8')) as ComposeFile
    const { settings, issues } = await loadSettings({ file: join(compose, 'iron-proxy.yaml'), env: {}, flags: {} })
    expect(issues).toEqual([])
    const addressOf = (service: string, network: string) => services[service]?.networks[network]?.ipv4_address
    expect(networks['agents']?.internal).toBe(true)
    expect(Object.keys(services['agent']?.networks ?? {})).toEqual(['agents'])
    expect(settings?.advertise).toBe(addressOf('proxy', 'agents'))
    expect([...(settings?.upstream.hosts.values() ?? [])]).toEqual([{ address: addressOf('service', 'world'), port: 8443 }])
    expect(await readFile(join(compose, 'resolv.conf'), 'utf8')).toContain(`nameserver ${addressOf('proxy', 'agents')}\n`)
    expect(await readFile(join(compose, 'policies', 'demo.yaml'), 'utf8')).toContain(`cidr: ${addressOf('agent', 'agents')}}`)
    const mounted = Object.values(services).flatMap(({ volumes }) => volumes.filter((each) => each.startsWith('./')))
    expect(mounted.filter((each) => !existsSync(join(top, 'deploy', each.split(':')[0] ?? '')))).toEqual([])
  })
})

describe.skipIf(!have('curl'))('the toy agent (skipped without curl)', () => {
  it('is allowed, refused, given a key it does not hold, and stopped by its budget', async () => {
    await using stack = new AsyncDisposableStack()
    const folder = await mkdtemp(join(tmpdir(), 'compose-'))
    stack.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 }))
    const service = stack.use(await startService(folder))
    const policy = (await readFile(join(compose, 'policies', 'demo.yaml'), 'utf8'))
      .replace('/run/service/', `${folder}/`)
      .replace('172.30.53.10', '127.0.0.0/8')
    await mkdir(join(folder, 'policies'))
    await writeFile(join(folder, 'policies', 'demo.yaml'), policy)
    const written = parse(await readFile(join(compose, 'iron-proxy.yaml'), 'utf8')) as SettingsInput
    const app = await startTestApp(
      {
        ...written,
        // Any free port.
        listen: {},
        policies: join(folder, 'policies'),
        advertise: '127.0.0.1',
        ca: { cert: join(folder, 'ca.crt'), key: join(folder, 'ca.key') },
        state: join(folder, 'state.db'),
        sealKey: join(folder, 'seal.key'),
        upstream: {
          hosts: { 'api.service.example': `127.0.0.1:${service.port}` },
          ca: [join(folder, 'root.crt')],
          allowPrivate: ['127.0.0.0/8'],
        },
        audit: { stdout: false },
      },
      () => {},
    )
    stack.defer(() => app.stop())
    // In the place of the DNS that leads an agent to the proxy.
    const names = ['api.service.example', 'elsewhere.example']
    await writeFile(
      join(folder, '.curlrc'),
      names.map((name) => `connect-to = "${name}:443:127.0.0.1:${app.ports.https}"\n`).join(''),
    )
    const done = await run('sh', [join(compose, 'agent.sh')], {
      env: {
        CURL_HOME: folder,
        BUNDLE_URL: `http://127.0.0.1:${app.ports.metrics}/ca.crt`,
        SERVICE_KEY: 'proxy-token-service',
      },
    })
    expect(done.stdout.match(/: \d+, as expected$/gm)).toHaveLength(5)
    expect(done.stdout).not.toContain('NOT as expected')
    expect(done.stdout).toContain('{"key":"real"}')
    expect(done.stdout).not.toContain(await readFile(join(folder, 'key'), 'utf8'))
    expect(done.code).toBe(0)
  })
})
