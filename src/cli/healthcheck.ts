import { exit, line } from './command.ts'
import type { Command } from './command.ts'
import { readSettings, settingHelp, settingOptions } from './settings.ts'

/** Milliseconds until the proxy must have answered. */
const patience = 3_000

export const healthcheck: Command = {
  name: 'healthcheck',
  summary: 'ask a running proxy whether it is ready, for containers without curl',
  usage: '[options]',
  options: { ...settingOptions, path: { type: 'string' } },
  help: { ...settingHelp, path: '/readyz (default), /livez or /startupz' },
  settings: ['config', 'listen-metrics'],
  examples: ['iron-proxy healthcheck', 'iron-proxy healthcheck --path /livez'],
  async run(input, terminal) {
    const { path = '/readyz', ...values } = input.values
    const { settings } = await readSettings({ ...input, values }, terminal)
    if (!settings) return exit.config
    const { metrics } = settings.listen
    if (metrics === 'off') {
      line(terminal.stderr, 'iron-proxy: listen.metrics is off, so nobody can be asked')
      return exit.config
    }
    const host = metrics.address === '0.0.0.0' ? '127.0.0.1' : metrics.address === '::' ? '::1' : metrics.address
    const { status, body } = await get(host, metrics.port, String(path))
    if (status === 0) line(terminal.stderr, `iron-proxy: no proxy answers on ${host}:${metrics.port} (${body})`)
    else line(terminal.stdout, body)
    return status === 200 ? exit.ok : exit.unavailable
  },
}

async function get(host: string, port: number, path: string): Promise<{ readonly status: number; readonly body: string }> {
  // Every command is loaded at every start, and `node:http` costs 40 ms; see admin/http.ts.
  const { request } = await import('node:http')
  return new Promise((resolve) => {
    const asked = request({ host, port, path, timeout: patience }, (res) => {
      let body = ''
      res.setEncoding('utf8').on('data', (text: string) => (body += text))
      res.on('end', () => resolve({ status: res.statusCode ?? 0, body: body.trim() }))
    })
    asked.on('timeout', () => asked.destroy(new Error('no answer in time')))
    asked.on('error', (error) => resolve({ status: 0, body: error.message }))
    asked.end()
  })
}
