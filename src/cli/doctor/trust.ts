/** Does each client believe the proxy? By the variables it reads, and by running those that are here. */
import { spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { connect } from 'node:tls'
import { selfHost, selfPath } from '#journey/self.ts'
import { trustVariables } from '../env.ts'
import { fail, failuresOr, pass, skip, type Finding, type ProxyPlace } from './finding.ts'

type Env = Readonly<Record<string, string | undefined>>

/** Milliseconds. */
const patience = 10_000

/** Every variable that a client may read must name a file with the proxy's CA in it. */
export async function checkVariables(place: ProxyPlace, env: Env): Promise<readonly Finding[]> {
  const names = Object.keys(trustVariables('', ''))
  const missing = names.filter((name) => !env[name])
  const files = new Map(names.flatMap((name) => (env[name] ? [[env[name], name] as const] : [])))
  const judged = await Promise.all(
    [...files].map(async ([file, name]) => {
      const reason = await distrust(place, file)
      return reason === undefined
        ? []
        : [fail('trust', `${name}: ${file} ${reason}`, 'mount the bundle of `/ca.crt` there, and start the container anew')]
    }),
  )
  const unset =
    missing.length > 0 ? [fail('trust', `not set: ${missing.join(', ')}`, 'set what `iron-proxy env --format k8s` prints')] : []
  return failuresOr([...unset, ...judged.flat()], pass('trust', `${names.length} variables name a bundle with the proxy’s CA`))
}

/** A handshake with nothing but this file to believe in. */
async function distrust(place: ProxyPlace, file: string): Promise<string | undefined> {
  let ca: string
  try {
    ca = await readFile(file, 'utf8')
  } catch {
    return 'cannot be read'
  }
  return new Promise((resolve) => {
    const socket = connect({ host: place.address, port: place.https, servername: selfHost, ca, timeout: patience })
    const end = (reason: string | undefined) => {
      socket.destroy()
      resolve(reason)
    }
    socket.once('secureConnect', () => end(undefined)).once('timeout', () => end('could not be tried: the proxy does not answer'))
    socket.once('error', (error: NodeJS.ErrnoException) => {
      const own = error.code !== undefined && /CERT|ISSUER|SIGNATURE|UNABLE/.test(error.code)
      end(own ? 'does not have the proxy’s CA' : `could not be tried (${error.code ?? error.message})`)
    })
  })
}

interface Client {
  readonly name: string
  readonly args: (place: ProxyPlace) => readonly string[]
}

const url = ({ https }: ProxyPlace): string => `https://${selfHost}:${https}${selfPath}`
const python = `import socket, ssl, sys
ssl.create_default_context().wrap_socket(socket.create_connection((sys.argv[1], int(sys.argv[2])), 10), server_hostname=sys.argv[3])`
const node = `require('node:tls').connect({ host: process.argv[1], port: +process.argv[2], servername: process.argv[3] }, () => process.exit(0))
.on('error', (error) => { console.error(error.code); process.exit(1) })`

const clients: readonly Client[] = [
  {
    name: 'curl',
    args: (place) => ['-sS', '-o', '/dev/null', '--resolve', `${selfHost}:${place.https}:${place.address}`, url(place)],
  },
  {
    name: 'git',
    args: (place) => ['-c', `http.curloptResolve=${selfHost}:${place.https}:${place.address}`, 'ls-remote', url(place)],
  },
  { name: 'node', args: ({ address, https }) => ['-e', node, address, String(https), selfHost] },
  { name: 'python3', args: ({ address, https }) => ['-c', python, address, String(https), selfHost] },
]

/** Runs each client that is here, as the agent would, against the proxy. */
export function checkClients(place: ProxyPlace, env: Env): Promise<readonly Finding[]> {
  return Promise.all(
    clients.map(async ({ name, args }) => {
      const { missing, output } = await runClient(name, args(place), env)
      if (missing) return skip(`trust-${name}`, `${name} is not here`)
      // What comes after the handshake is none of this check's business.
      if (/certificate|CERT|ISSUER|SIGNATURE|SSL/.test(output))
        return fail(
          `trust-${name}`,
          `${name} does not believe the proxy`,
          'set what `iron-proxy env --format k8s` prints, and see that no settings file of its own names another bundle',
        )
      return pass(`trust-${name}`, `${name} believes the proxy`)
    }),
  )
}

function runClient(
  program: string,
  args: readonly string[],
  env: Env,
): Promise<{ readonly missing: boolean; readonly output: string }> {
  return new Promise((resolve) => {
    const child = spawn(program, args, {
      env: { ...env, GIT_TERMINAL_PROMPT: '0' },
      stdio: ['ignore', 'ignore', 'pipe'],
      timeout: patience,
    })
    let output = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => (output += text))
    child.on('error', () => resolve({ missing: true, output }))
    child.on('close', () => resolve({ missing: false, output }))
  })
}
