/** A network of its own with nothing but loopback (MTU 1500, as a wire has), and names that lead to it. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { cores, events, eventsHost, host, manyHosts, uploadHost, uploads, upstream, zone } from './names.ts'

/**
 * Runs this again inside network and mount namespaces, unless it is there already. `false`: that has been done, with its exit code.
 * Signals go on to what runs inside, which tidies up.
 */
export async function enter(): Promise<boolean> {
  if (process.env['IRON_PROXY_BENCH'] === 'inside') return true
  const hosts = join(tmpdir(), `bench-hosts-${process.pid}`)
  const many = Array.from({ length: manyHosts }, (_, i) => `${upstream} h${i}.${zone}`)
  writeFileSync(
    hosts,
    ['127.0.0.1 localhost', `${upstream} ${host}`, `${events} ${eventsHost}`, `${uploads} ${uploadHost}`, ...many, ''].join('\n'),
  )
  const inside = 'mount --bind "$1" /etc/hosts && ip link set lo mtu 1500 up && shift && exec taskset -c "$0" "$@"'
  const rights = process.getuid?.() === 0 ? [] : ['--map-root-user']
  const child = spawn('unshare', ['--net', '--mount', ...rights, 'sh', '-c', inside, cores.load, hosts, ...process.argv], {
    stdio: 'inherit',
    env: { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin:/sbin`, IRON_PROXY_BENCH: 'inside' },
  })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal))
  try {
    const [code] = (await once(child, 'exit')) as [number | null]
    process.exitCode = code ?? 1
  } catch (error) {
    throw new Error('the bench needs unshare, mount, ip and taskset (util-linux, iproute2), and Linux', { cause: error })
  } finally {
    rmSync(hosts, { force: true })
  }
  return false
}
