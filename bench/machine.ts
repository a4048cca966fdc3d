/** Where a run happened. */
import { cpus, release, totalmem, type } from 'node:os'
import { said } from './contenders/debian.ts'

export function machine(): string {
  const [{ model } = { model: 'unknown CPU' }, ...others] = cpus()
  return `${model.trim()}, ${others.length + 1} cores, ${Math.round(totalmem() / 2 ** 30)} GiB, ${type()} ${release()}`
}

/** The tools that stand in no table. */
export function tools(): Readonly<Record<string, string>> {
  const found = {
    Node: process.version,
    OpenSSL: `${process.versions.openssl} in Node, ${said('openssl', 'version', /OpenSSL (\S+)/) ?? 'none'} in the load`,
    h2load: said('h2load', '--version', /nghttp2\/(\S+)/),
    dnsperf: said('dnsperf', '-h', /Version (\S+)/),
    unbound: said('unbound', '-V', /Version (\S+)/),
    dnsmasq: said('dnsmasq', '--version', /version (\S+)/),
  }
  return Object.fromEntries(Object.entries(found).map(([name, version]) => [name, version ?? 'not installed']))
}
