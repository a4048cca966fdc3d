import { readFile } from 'node:fs/promises'
import { parseAddress } from '#base/address.ts'
import { exit, line, UsageError } from '../command.ts'
import type { Command } from '../command.ts'
import type { Finding, ProxyPlace } from './finding.ts'
import { checkDns, checkEgress, checkForeignDns, checkResolvConf } from './network.ts'
import { checkEnvironment, checkFiles } from './secrets.ts'
import { checkSelf } from './self.ts'
import { checkClients, checkVariables } from './trust.ts'

/** Addresses that anybody can reach who can reach anything: two of the public net, and the metadata service of clouds. */
const outside = '1.1.1.1:443,9.9.9.9:443,169.254.169.254:80'
const resolvers = '1.1.1.1,9.9.9.9'

export const doctor: Command = {
  name: 'doctor',
  summary: 'look from inside an agent’s container whether everything goes through the proxy',
  usage: '[options]',
  options: {
    proxy: { type: 'string' },
    'dns-port': { type: 'string' },
    'https-port': { type: 'string' },
    'resolv-conf': { type: 'string' },
    direct: { type: 'string' },
    resolvers: { type: 'string' },
    'service-account': { type: 'string' },
    json: { type: 'boolean' },
  },
  help: {
    proxy: 'address of the proxy (default: the first nameserver)',
    'dns-port': 'its DNS port (default 53)',
    'https-port': 'its port for TLS (default 443)',
    'resolv-conf': 'the resolver’s settings (default /etc/resolv.conf)',
    direct: `what must not be reachable without it (default ${outside})`,
    resolvers: `resolvers that must not answer (default ${resolvers})`,
    'service-account': 'where a ServiceAccount token would be mounted',
    json: 'for scripts',
  },
  examples: ['iron-proxy doctor', 'kubectl exec -it agent-0 -- iron-proxy doctor --json'],
  async run({ values }, { stdout, env }) {
    const given = (name: string, otherwise: string): string => (typeof values[name] === 'string' ? values[name] : otherwise)
    const resolvConf = await readFile(given('resolv-conf', '/etc/resolv.conf'), 'utf8').catch(() => '')
    const first = /^\s*nameserver\s+(\S+)/m.exec(resolvConf)?.[1] ?? ''
    const address = parseAddress(given('proxy', first))
    if (!address)
      throw new UsageError(
        values['proxy'] === undefined
          ? 'there is no nameserver; say where the proxy is with --proxy ADDRESS'
          : '--proxy takes an address',
      )
    const place: ProxyPlace = { address, dns: port(given('dns-port', '53')), https: port(given('https-port', '443')) }
    const asked = await Promise.all([
      checkDns(place),
      checkEgress(list(given('direct', outside))),
      checkForeignDns(list(given('resolvers', resolvers))),
      checkSelf(place),
      checkVariables(place, env),
      checkClients(place, env),
      checkFiles(env['HOME'] ?? '/', given('service-account', '/var/run/secrets/kubernetes.io/serviceaccount/token')),
    ])
    const all = [checkResolvConf(resolvConf, place), ...asked.flat(), ...checkEnvironment(env)]
    line(stdout, values['json'] ? JSON.stringify(all, null, 2) : all.map(shown).join('\n'))
    return all.some(({ result }) => result === 'fail') ? exit.findings : exit.ok
  },
}

function shown({ check, result, detail, remedy }: Finding): string {
  const first = `${result.padEnd(5)}${check.padEnd(16)} ${detail}`
  return remedy === undefined ? first : `${first}\n${' '.repeat(22)}→ ${remedy}`
}

function list(text: string): readonly string[] {
  return text.split(',').filter((each) => each !== '')
}

function port(text: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1 || value > 65_535) throw new UsageError(`${JSON.stringify(text)} is not a port`)
  return value
}
