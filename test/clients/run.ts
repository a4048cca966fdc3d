/** `npm run test:clients`: installs the clients, then runs the suite in a network namespace of its own, where only the proxy answers. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { install } from './install.ts'

/** An address of the namespace alone, where the proxy listens on its usual ports. */
const address = '198.18.0.53'

const missing = whyNot()
if (missing !== undefined) {
  process.stderr.write(`the suite ${missing}\n`)
  process.exit(1)
}
if (process.env['IRON_PROXY_CLIENTS_OFFLINE'] === undefined) install()
const made = mkdtempSync(join(tmpdir(), 'clients-'))
const resolver = join(made, 'resolv.conf')
writeFileSync(resolver, `nameserver ${address}\noptions timeout:2\n`)
const hosts = join(made, 'hosts')
writeFileSync(hosts, '127.0.0.1 localhost\n')
const script = [
  'ip link set lo up',
  `ip addr add ${address}/32 dev lo`,
  'mount --bind "$1" /etc/resolv.conf',
  'mount --bind "$2" /etc/hosts',
  'shift 2',
  'exec "$@"',
].join(' && ')
const vitest = join(import.meta.dirname, '..', '..', 'node_modules', 'vitest', 'vitest.mjs')
const suite = [
  process.execPath,
  vitest,
  'run',
  '--config',
  join(import.meta.dirname, 'vitest.config.ts'),
  ...process.argv.slice(2),
]
const { status } = spawnSync('unshare', ['--net', '--mount', 'sh', '-c', script, 'sh', resolver, hosts, ...suite], {
  stdio: 'inherit',
  env: { ...process.env, IRON_PROXY_CLIENTS_ADDRESS: address },
})
rmSync(made, { recursive: true, force: true })
process.exit(status ?? 1)

function whyNot(): string | undefined {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'needs root on Linux'
  return spawnSync('unshare', ['--net', '--mount', 'true']).status === 0 ? undefined : 'needs the right to make namespaces'
}
