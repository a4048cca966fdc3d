import { startApp } from '#app.ts'
import type { App } from '#app.ts'
import { AuthorityError } from '#ca/authority.ts'
import { placeText } from '#base/listen-place.ts'
import { formatIssue, PolicyError } from '#config/issue.ts'
import { reviewSettings } from '#config/review-settings.ts'
import { unusableFiles } from '#config/setting-files.ts'
import type { Settings } from '#config/settings-schema.ts'
import { createLog } from '#observe/log.ts'
import { revision, version } from './about.ts'
import { adminPlace } from './admin.ts'
import { exit, line } from './command.ts'
import type { Command, ExitCode, Terminal } from './command.ts'
import { entryStream } from './logs/stream.ts'
import { readSettings, settingHelp, settingOptions } from './settings.ts'

export const run: Command = {
  name: 'run',
  summary: 'run the proxy',
  usage: '[options]',
  options: settingOptions,
  help: settingHelp,
  examples: ['iron-proxy run', 'iron-proxy run --policies policies/ --listen-https 0.0.0.0:10443 --advertise 10.43.0.53'],
  async run(input, terminal) {
    const unsafe = unsafeVariable(terminal.env)
    if (unsafe) {
      line(terminal.stderr, `iron-proxy: refusing to start with ${unsafe} set: it would weaken TLS or expose memory; unset it`)
      return exit.config
    }
    const { settings, origins } = await readSettings(input, terminal)
    if (!settings) return exit.config
    const unusable = await unusableFiles(settings)
    for (const issue of unusable) line(terminal.stderr, formatIssue(issue))
    if (unusable.length > 0) return exit.config
    for (const issue of reviewSettings(settings, origins)) line(terminal.stderr, formatIssue(issue))
    let app: App
    try {
      app = await startApp(settings, {
        log: createLog(settings.log.level),
        version,
        revision,
        node: terminal.node,
        env: terminal.env,
        // A person reads lines, a log collector JSON.
        stdout: terminal.interactive ? entryStream(terminal.stdout, terminal.colour) : terminal.stdout,
        uid: terminal.uid,
      })
    } catch (error) {
      return explainFailure(error, terminal)
    }
    greet(app, settings, terminal)
    return stopped(app, settings, terminal)
  },
}

/** Settings of Node or OpenSSL under which a secret could leave unseen. */
function unsafeVariable(env: Terminal['env']): string | undefined {
  if (env['NODE_TLS_REJECT_UNAUTHORIZED'] === '0') return 'NODE_TLS_REJECT_UNAUTHORIZED=0'
  if (env['SSLKEYLOGFILE']) return 'SSLKEYLOGFILE'
  if (/--(?:inspect|tls-keylog|insecure-http-parser)/.test(env['NODE_OPTIONS'] ?? ''))
    return 'NODE_OPTIONS with inspect, tls-keylog or insecure-http-parser'
  return undefined
}

function explainFailure(error: unknown, { stderr }: Terminal): ExitCode {
  if (error instanceof PolicyError) {
    // The log has said each of them.
    line(stderr, 'iron-proxy: not starting without a valid policy; `iron-proxy check` says what is wrong with it')
    return exit.config
  }
  if (error instanceof AuthorityError) {
    line(stderr, `iron-proxy: ${error.message}`)
    return exit.config
  }
  const { code, address, port, message } = error as NodeJS.ErrnoException & { address?: string; port?: number }
  if (port !== undefined && (code === 'EACCES' || code === 'EADDRINUSE' || code === 'EADDRNOTAVAIL')) {
    line(stderr, `iron-proxy: cannot listen on ${address}:${port} (${code}): ${bindRemedy[code]}`)
    return exit.noPermission
  }
  line(stderr, `iron-proxy: ${message}`)
  return exit.config
}

const bindRemedy = {
  EACCES:
    'ports under 1024 need a privilege; keep the unprivileged default and map the port in front (Service, nftables), or lower net.ipv4.ip_unprivileged_port_start',
  EADDRINUSE: 'another process has it; stop that one, or give another port with --listen-… or in the settings file',
  EADDRNOTAVAIL: 'this machine has no such address; use 0.0.0.0 or one of its own',
} as const

/** How to point a client here. On standard error, since the audit may have standard output. */
function greet({ ports }: App, settings: Settings, { stderr }: Terminal): void {
  const at = (name: keyof typeof ports) => {
    const place = settings.listen[name]
    if (place !== 'off' && 'socket' in place) return adminPlace(place)
    return place === 'off' || ports[name] === undefined ? 'off' : placeText({ address: place.address, port: ports[name] })
  }
  line(
    stderr,
    `iron-proxy ${version}: dns ${at('dns')}, http ${at('http')}, https ${at('https')}, proxy ${at('proxy')}, metrics ${at('metrics')}, admin ${at('admin')}`,
  )
  line(stderr, `policies in ${settings.policies}, edited live. To point a client here:`)
  const { proxy } = settings.listen
  const door =
    proxy === 'off' || ports.proxy === undefined
      ? ''
      : `; export HTTPS_PROXY=http://${placeText({ address: dialled(proxy.address), port: ports.proxy })}`
  line(stderr, `  eval "$(npx iron-proxy env)"${door}`)
}

/** The address that a client on this machine dials: one that means every address is none to dial. */
function dialled(address: string): string {
  if (address === '0.0.0.0') return '127.0.0.1'
  return address === '::' ? '::1' : address
}

/** Resolves when a signal has ended the app: the first asks, the second insists. */
function stopped(app: App, { shutdown }: Settings, terminal: Terminal): Promise<ExitCode> {
  return new Promise((resolve) => {
    const { lameDuck, deadline } = shutdown
    let asked = false
    const stop = (options: { readonly lameDuck: number; readonly deadline: number }) => {
      if (asked) return resolve(exit.ok)
      asked = true
      void app.stop(options).then(() => resolve(exit.ok))
    }
    terminal.onSignal('SIGTERM', () => stop({ lameDuck: lameDuck * 1000, deadline: deadline * 1000 }))
    // At a keyboard nobody routes to us any more.
    terminal.onSignal('SIGINT', () => stop({ lameDuck: 0, deadline: Math.min(deadline, 5) * 1000 }))
    terminal.onSignal('SIGHUP', () => {
      app.reopen()
      void app.reload('signal')
    })
  })
}
