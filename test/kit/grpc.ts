import {
  Client,
  credentials,
  Metadata,
  Server,
  ServerCredentials,
  status,
  type ClientDuplexStream,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type sendUnaryData,
  type ServiceError,
} from '@grpc/grpc-js'
import type { Certificate, Started } from './listen.ts'

export interface SeenCall {
  readonly method: 'unary' | 'bidi'
  readonly host: string
  readonly authorization: string | undefined
}

export interface GrpcServer extends Started {
  readonly calls: readonly SeenCall[]
}

export interface GrpcClientOptions {
  readonly port: number
  /** Name the client asks for: SNI, `:authority` and what the certificate is compared with. */
  readonly host: string
  readonly ca: string
  /** Sent as metadata `authorization`. */
  readonly authorization?: string
}

export interface GrpcClient extends Disposable {
  /** Answers the echo of the message; rejects with a `ServiceError`. */
  unary(message: string): Promise<string>
  /** Sends each message only after the echo of the one before, so that neither side can have buffered the other. */
  bidi(messages: readonly string[]): Promise<readonly string[]>
}

const paths = { unary: '/echo.Echo/Unary', bidi: '/echo.Echo/Bidi' } as const

// Messages are bare UTF-8: what is tested is the transport, so no schema is needed.
const encode = (message: string): Buffer => Buffer.from(message)
const decode = (bytes: Buffer): string => bytes.toString()
const codec = { requestSerialize: encode, requestDeserialize: decode, responseSerialize: encode, responseDeserialize: decode }

/**
 * Starts a gRPC server that echoes, alone or in a stream. The message `fail` is answered with the status
 * FAILED_PRECONDITION, which is a reply that has trailers and no message.
 */
export async function startGrpcServer({ certificate }: { readonly certificate: Certificate }): Promise<GrpcServer> {
  const calls: SeenCall[] = []
  const server = new Server()

  function note(method: SeenCall['method'], call: { readonly metadata: Metadata; getHost(): string }): void {
    calls.push({ method, host: call.getHost(), authorization: call.metadata.get('authorization')[0]?.toString() })
  }

  server.addService(
    {
      unary: { path: paths.unary, requestStream: false, responseStream: false, ...codec },
      bidi: { path: paths.bidi, requestStream: true, responseStream: true, ...codec },
    },
    {
      unary: (call: ServerUnaryCall<string, string>, answer: sendUnaryData<string>) => {
        note('unary', call)
        if (call.request === 'fail') answer({ code: status.FAILED_PRECONDITION, details: 'asked to fail' })
        else answer(null, call.request)
      },
      bidi: (call: ServerDuplexStream<string, string>) => {
        note('bidi', call)
        call.on('data', (message: string) => call.write(message))
        call.on('end', () => call.end())
      },
    },
  )
  const pair = { cert_chain: Buffer.from(certificate.certPem), private_key: Buffer.from(certificate.keyPem) }
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  server.bindAsync('127.0.0.1:0', ServerCredentials.createSsl(null, [pair]), (error, port) =>
    error ? reject(error) : resolve(port),
  )
  return { port: await promise, calls, [Symbol.asyncDispose]: async () => server.forceShutdown() }
}

/** Makes a client that dials loopback and asks for `host`. */
export function openGrpc({ port, host, ca, authorization }: GrpcClientOptions): GrpcClient {
  const client = new Client(`127.0.0.1:${port}`, credentials.createSsl(Buffer.from(ca)), {
    'grpc.ssl_target_name_override': host,
    'grpc.default_authority': host,
    // Channels are shared between clients of one address otherwise, and with them the TLS connection.
    'grpc.use_local_subchannel_pool': 1,
    'grpc.enable_http_proxy': 0,
  })
  const metadata = new Metadata()
  if (authorization) metadata.set('authorization', authorization)

  function unary(message: string): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>()
    const options = { deadline: Date.now() + 10_000 }
    client.makeUnaryRequest(
      paths.unary,
      encode,
      decode,
      message,
      metadata,
      options,
      (error: ServiceError | null, reply?: string) => (error ? reject(error) : resolve(reply ?? '')),
    )
    return promise
  }

  async function bidi(messages: readonly string[]): Promise<readonly string[]> {
    const call: ClientDuplexStream<string, string> = client.makeBidiStreamRequest(paths.bidi, encode, decode, metadata, {
      deadline: Date.now() + 10_000,
    })
    const echoes: string[] = []
    const unsent = [...messages]
    const next = (): void => {
      const message = unsent.shift()
      if (message === undefined) call.end()
      else call.write(message)
    }
    next()
    for await (const echo of call) {
      echoes.push(String(echo))
      next()
    }
    return echoes
  }

  return { unary, bidi, [Symbol.dispose]: () => client.close() }
}
