import { createServer as createTcpServer, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { closer, listen, type Certificate, type Started } from './listen.ts'
import { contains, wire, type Wire } from './wire.ts'

export interface RawUpstreamOptions {
  readonly certificate: Certificate
  readonly plain?: boolean
  /** `http/1.1` by default; offering `h2` and speaking something else is a fault worth scripting. */
  readonly alpn?: readonly string[]
}

export interface RawUpstream extends Started {
  /** One for each connection that was accepted (and, over TLS, greeted). */
  readonly wires: readonly Wire[]
}

/**
 * Starts a server that runs a script of bytes on each connection: for replies that no HTTP library would write. A
 * script that throws breaks its connection.
 */
export async function startRawUpstream(
  options: RawUpstreamOptions,
  script: (accepted: Wire) => void | Promise<void>,
): Promise<RawUpstream> {
  const wires: Wire[] = []

  function accept(socket: Socket): void {
    const accepted = wire(socket)
    wires.push(accepted)
    Promise.resolve(accepted)
      .then(script)
      .catch(() => socket.destroy())
  }

  const { certPem: cert, keyPem: key } = options.certificate
  const server = options.plain
    ? createTcpServer(accept)
    : createTlsServer({ cert, key, ALPNProtocols: [...(options.alpn ?? ['http/1.1'])] }, accept)
  const close = closer(server)
  return { port: await listen(server), wires, [Symbol.asyncDispose]: close }
}

/** A script that answers each request head with the same bytes, and then closes if asked to. */
export function replying(bytes: string | Uint8Array, { close = false } = {}): (accepted: Wire) => Promise<void> {
  return onEachHead((accepted) => {
    accepted.write(bytes)
    if (close) accepted.socket.end()
  })
}

/** A script that leaves each request head to `answer`, which may change its mind from one to the next. */
export function onEachHead(answer: (accepted: Wire) => void | Promise<void>): (accepted: Wire) => Promise<void> {
  return async (accepted) => {
    for (;;) {
      const { ending, timedOut } = await accepted.read(contains('\r\n\r\n'), 30_000)
      if (ending !== 'open' || timedOut) return
      accepted.forget()
      await answer(accepted)
    }
  }
}
