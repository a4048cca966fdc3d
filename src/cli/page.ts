/** The pages of a proxy whose admin door is a unix socket, for a browser: a relay on loopback that only its own link opens. */
import { randomBytes, timingSafeEqual } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import { adminUrl } from './admin.ts'
import { exit, CommandFailure, line, UsageError } from './command.ts'
import type { Command } from './command.ts'
import { readOperatorSettings, settingHelp, settingOptions } from './settings.ts'

const cookie = 'iron_proxy_relay'

export const page: Command = {
  name: 'page',
  summary: 'print the link of the page that shows what agents do; where the admin door is a socket, serve it until Ctrl-C',
  usage: '[options]',
  options: { ...settingOptions, port: { type: 'string' } },
  help: { ...settingHelp, port: 'port on loopback (default: any free one)' },
  settings: ['config', 'listen-admin'],
  examples: ['iron-proxy page', 'iron-proxy page --port 9465'],
  async run(input, terminal) {
    const { port = '0', ...values } = input.values
    if (!/^\d{1,5}$/.test(String(port)) || Number(port) > 65_535) throw new UsageError('--port takes a port')
    const { settings } = await readOperatorSettings({ positionals: [], values }, terminal)
    if (!settings) return exit.config
    const { admin } = settings.listen
    if (admin === 'off') throw new CommandFailure('listen.admin is off', exit.unavailable)
    if (!('socket' in admin)) {
      line(terminal.stdout, `${adminUrl(settings)}/`)
      return exit.ok
    }
    const relay = await openRelay(admin.socket, Number(port))
    line(terminal.stdout, relay.link)
    const { promise: stopped, resolve } = Promise.withResolvers<void>()
    const offs = (['SIGINT', 'SIGTERM'] as const).map((name) => terminal.onSignal(name, resolve))
    await stopped
    for (const off of offs) off()
    relay.close()
    return exit.ok
  },
}

/** Other users of this machine reach loopback, so a request needs the cookie that the link gave. Throws `Failure`. */
async function openRelay(socketPath: string, port: number): Promise<{ readonly link: string; readonly close: () => void }> {
  // Every command is loaded at every start, and `node:http` costs 40 ms.
  const { createServer, request } = await import('node:http')
  const key = randomBytes(32).toString('base64url')
  const isKey = (given: string) => /^[\w-]{43}$/.test(given) && timingSafeEqual(Buffer.from(given), Buffer.from(key))
  const server = createServer((asked, answer) => {
    const { url = '/', headers, method } = asked
    if (url.startsWith('/open/') && isKey(url.slice('/open/'.length))) {
      answer
        .writeHead(303, {
          location: '/',
          'set-cookie': `${cookie}=${key}; HttpOnly; SameSite=Strict; Path=/`,
          'referrer-policy': 'no-referrer',
        })
        .end()
      return
    }
    const held = new RegExp(`(?:^|; *)${cookie}=([\\w-]+)`).exec(headers.cookie ?? '')?.[1] ?? ''
    if (!isKey(held)) {
      answer.writeHead(403, { 'content-type': 'text/plain' }).end('open the link that iron-proxy page printed\n')
      return
    }
    const passed = request({ socketPath, method, path: url, headers }, (reply) => {
      answer.writeHead(reply.statusCode ?? 502, reply.headers)
      reply.pipe(answer)
    })
    passed.on('error', () =>
      answer.headersSent ? answer.destroy() : answer.writeHead(502).end('no proxy answers on the socket\n'),
    )
    answer.on('close', () => passed.destroy())
    asked.pipe(passed)
  })
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject).listen(port, '127.0.0.1', resolve)
  await promise.catch(({ code }: NodeJS.ErrnoException) => {
    throw new CommandFailure(`127.0.0.1:${port} cannot be bound (${code})`, exit.noPermission)
  })
  const close = () => {
    server.close()
    server.closeAllConnections()
  }
  return { link: `http://127.0.0.1:${(server.address() as AddressInfo).port}/open/${key}`, close }
}
