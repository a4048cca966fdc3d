import { setTimeout as sleep } from 'node:timers/promises'
import { Pool } from 'undici'
import { openTls, type TcpOptions } from './raw.ts'

export interface LoadOptions {
  /** The door for TLS. */
  readonly port: TcpOptions['port']
  readonly host: string
  readonly ca: string
  readonly concurrency: number
  /** Milliseconds each worker rests between two requests. */
  readonly rest: number
  readonly headers?: Readonly<Record<string, string>>
}

/** Requests that never stop until told to, and what became of them. */
export interface Load extends AsyncDisposable {
  readonly done: number
  /** Requests answered with anything but 200, or not answered. Empty when all went well. */
  readonly broken: readonly string[]
  stop(): Promise<void>
}

/** Asks for `/json` over kept connections, as a busy agent does. */
export function startLoad({ port, host, ca, concurrency, rest, headers = {} }: LoadOptions): Load {
  const pool = new Pool(`https://${host}`, {
    connections: concurrency,
    connect: (_options, done) => {
      openTls({ port, servername: host, alpn: ['http/1.1'], ca }).then(
        (socket) => done(null, socket),
        (error: Error) => done(error, null),
      )
    },
  })
  const broken: string[] = []
  let done = 0
  const stopping = new AbortController()

  async function work(): Promise<void> {
    while (!stopping.signal.aborted) {
      try {
        const { statusCode, body } = await pool.request({ method: 'GET', path: '/json', headers })
        const { length } = await body.text()
        if (statusCode !== 200 || length !== 1024) broken.push(`status ${statusCode}, ${length} characters`)
      } catch (error) {
        broken.push(String(error))
      }
      done += 1
      await sleep(rest)
    }
  }

  const workers = Array.from({ length: concurrency }, work)
  const stop = async (): Promise<void> => {
    stopping.abort()
    await Promise.all(workers)
    await pool.destroy()
  }
  return {
    get done() {
      return done
    },
    broken,
    stop,
    [Symbol.asyncDispose]: stop,
  }
}
