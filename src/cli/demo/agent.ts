import { join } from 'node:path'
import { stubs } from './policy.ts'
import { run } from './program.ts'
import type { ProgramRun, RunOptions } from './program.ts'

/** By DNS + SNI the agent knows of no proxy and its names lead there; by CONNECT it was told of one. */
export type DemoDoor = 'sni' | 'connect'

/** Where the agent finds the doors, and the CA it trusts. */
export interface Way {
  readonly https: number
  readonly proxy: number
  readonly caFile: string
}

export interface DemoAsk {
  readonly method?: string
  readonly url: string
  readonly headers?: Readonly<Record<string, string>>
  readonly data?: string
  /** Takes a compressed reply, and unpacks it. */
  readonly compressed?: boolean
}

export interface DemoReply extends ProgramRun {
  /** 0: there was none. */
  readonly status: number
  readonly body: string
}

/** The agent: real curl and git, in a home of its own with nothing in it but stubs. Remembers all it was ever given. */
export class DemoAgent {
  readonly #way: Way
  readonly #options: RunOptions
  readonly #received: string[] = []
  /** What the DNS answered; a cluster's clients would have it from their resolver. */
  address = '127.0.0.1'

  constructor(way: Way, options: RunOptions) {
    this.#way = way
    this.#options = options
  }

  get home(): string {
    return this.#options.home
  }

  /** Everything that any program of the agent has printed. */
  get received(): string {
    return this.#received.join('\n')
  }

  async curl(door: DemoDoor, { method = 'GET', url, headers = {}, data, compressed }: DemoAsk): Promise<DemoReply> {
    const { https, proxy, caFile } = this.#way
    const { hostname } = new URL(url)
    const args = ['-q', '--silent', '--show-error', '--no-buffer', '--include', '--cacert', caFile, '--request', method]
    if (door === 'sni') args.push('--connect-to', `${hostname}:443:${this.address}:${https}`)
    else args.push('--proxy', `http://127.0.0.1:${proxy}`, '--suppress-connect-headers')
    if (data !== undefined) args.push('--data', data)
    if (compressed) args.push('--compressed')
    // By standard input: arguments can be read by everyone on a machine, and one step sends a real value.
    const input = Object.entries(headers)
      .map(([name, value]) => `${name}: ${value}\n`)
      .join('')
    const done = this.#heard(await run('curl', [...args, '--header', '@-', url], { ...this.#options, input }))
    const end = done.stdout.indexOf('\r\n\r\n')
    const status = Number(/^HTTP\/\S+ (\d{3})/.exec(done.stdout)?.[1] ?? 0)
    return { ...done, status, body: end < 0 ? '' : done.stdout.slice(end + 4) }
  }

  async git(door: DemoDoor, args: readonly string[], cwd?: string): Promise<ProgramRun> {
    const { https, proxy, caFile } = this.#way
    const settings = [`http.sslCAInfo=${caFile}`, 'credential.helper=']
    if (door === 'sni') settings.push(`http.curloptResolve=github.com:${https}:${this.address}`)
    else settings.push(`http.proxy=http://127.0.0.1:${proxy}`)
    return this.#heard(await run('git', [...settings.flatMap((each) => ['-c', each]), ...args], { ...this.#options, cwd }))
  }

  /** The URL of a repository with the stub as its password, as an agent's git config would have it. */
  repository(door: DemoDoor, name: string): string {
    // Where a Service maps 443 to the door, no port is named.
    const port = door === 'sni' ? `:${this.#way.https}` : ''
    return `https://agent:${stubs.github}@github.com${port}/${name}.git`
  }

  /** A path in the agent's home. */
  file(name: string): string {
    return join(this.home, name)
  }

  #heard(done: ProgramRun): ProgramRun {
    this.#received.push(done.stdout, done.stderr)
    return done
  }
}
