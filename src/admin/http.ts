/** The little HTTP both listeners need: routes by path, JSON and forms, short timeouts, bounds on everything. */
import type * as http from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { createRequire } from 'node:module'
import type { AddressInfo, Socket } from 'node:net'
import { listenOnSocket } from './socket.ts'
import type { HeldSocket } from './socket.ts'

// An import reads all that `node:http` exports, `WebSocket` too, for which Node 26 loads its own undici: 40 ms and 15 MiB.
const { createServer } = createRequire(import.meta.url)('node:http') as typeof http

export interface HttpAnswer {
  readonly status: number
  readonly type: string
  readonly body: string
  readonly headers?: Readonly<Record<string, string>>
  /** What follows the body, piece by piece, until the client leaves. */
  readonly stream?: Stream
}

/** Begins to send; `send` is false while the client does not read. What it gives back ends it. */
export type Stream = (send: (text: string) => boolean) => () => void

export interface Route {
  readonly method: 'GET' | 'POST' | 'DELETE'
  /** A JSON object, or the fields of a form, of at most 16 KiB; without it no body is taken. */
  readonly takes?: 'json' | 'form'
  /** Milliseconds that the answer may take, where ten seconds are too few. */
  readonly patience?: number
  /** `last`: what follows the slash that the route ends with. `peer`: the address that asks. */
  answer(
    query: URLSearchParams,
    body: Readonly<Record<string, unknown>>,
    last: string,
    peer: string,
  ): HttpAnswer | Promise<HttpAnswer>
}

/** By exact path, one for each method; one that ends with a slash is for what stands right below it. */
export type Routes = Readonly<Record<string, Route | readonly Route[]>>

/** A refusal that comes before the routes. */
export type Guard = (request: IncomingMessage) => HttpAnswer | undefined

/** An IP address and a port, where 0 is any free one; or the path of a unix socket. */
export type ListenAddress = { readonly host: string; readonly port: number } | { readonly socket: string }

export interface Listening extends AsyncDisposable {
  /** `unix:PATH` of a socket in the file system. */
  readonly address: string
  /** 0 of a socket in the file system. */
  readonly port: number
  /** Stops at once: what is still being answered is cut. */
  close(): Promise<void>
}

export function json(status: number, value: unknown): HttpAnswer {
  return { status, type: 'application/json', body: `${JSON.stringify(value)}\n` }
}

export function text(body: string, type = 'text/plain; charset=utf-8'): HttpAnswer {
  return { status: 200, type, body }
}

export function fault(status: number, code: string, message: string): HttpAnswer {
  return json(status, { error: { code, message } })
}

/**
 * Serves routes until closed. Rejects with the error of `listen`, `EADDRINUSE` or `EACCES` for one. A client that sends
 * slowly, reads slowly or not at all costs one of 256 connections for at most ten seconds, and loses it to who comes next.
 */
export async function serve(routes: Routes, listen: ListenAddress, guard: Guard = () => undefined): Promise<Listening> {
  const places = new Places()
  const server = createServer(
    {
      maxHeaderSize: 8192,
      headersTimeout: 5000,
      requestTimeout: 10_000,
      connectionsCheckingInterval: 1000,
      keepAliveTimeout: 5000,
    },
    (request, response) => {
      // Node takes the socket from a request that was cut short.
      const { socket } = request
      places.answering(socket)
      respond(routes, guard, request, response)
        .catch(() => response.destroy())
        .finally(() => places.wait(socket))
    },
  )
  server.on('connection', (socket) => places.enter(socket))
  server.timeout = 10_000
  const held = 'socket' in listen ? await listenOnSocket(server, listen.socket) : await listenOnPort(server, listen)
  const close = () => closed(server, held)
  const { address, port } = 'socket' in listen ? { address: `unix:${listen.socket}`, port: 0 } : (server.address() as AddressInfo)
  return { address, port, close, [Symbol.asyncDispose]: close }
}

async function listenOnPort(
  server: Server,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.on('error', reject)
  server.listen({ host, port }, resolve)
  await promise
}

/** Connections of one listener at once. */
const mostConnections = 256

/**
 * Who is connected to a listener. Where all places are taken, the connection that has waited longest gives its place up: silent
 * ones, however many, keep no probe out.
 */
class Places {
  /** No request of theirs is being answered; who has waited longest is first. */
  readonly #waiting = new Set<Socket>()
  #taken = 0

  enter(socket: Socket): void {
    this.#taken += 1
    this.#waiting.add(socket)
    socket.once('close', () => this.#leave(socket))
    if (this.#taken <= mostConnections) return
    const [longest] = this.#waiting
    if (!longest) return
    this.#waiting.delete(longest)
    longest.destroy()
  }

  answering(socket: Socket): void {
    this.#waiting.delete(socket)
  }

  /** The answer was given, though it may not be read yet. */
  wait(socket: Socket): void {
    if (!socket.destroyed) this.#waiting.add(socket)
  }

  #leave(socket: Socket): void {
    this.#taken -= 1
    this.#waiting.delete(socket)
  }
}

const common = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' }

async function respond(routes: Routes, guard: Guard, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const answer = await answerTo(routes, guard, request).catch(() => fault(500, 'internal', 'the proxy failed to answer'))
  const bytes = Buffer.from(answer.body)
  // A body was refused unread: what follows on this connection could be the rest of it.
  const closing = hasBody(request) ? { connection: 'close' } : {}
  if (answer.stream && request.method !== 'HEAD') return streamed(answer, answer.stream, request, response)
  // RFC 9110 section 8.6: a 204 has no length.
  const about = answer.status === 204 ? {} : { 'content-type': answer.type, 'content-length': bytes.length }
  response.writeHead(answer.status, { ...about, ...common, ...closing, ...answer.headers })
  response.end(request.method === 'HEAD' ? undefined : bytes)
}

/** Resolves when the client has left. */
async function streamed(
  answer: HttpAnswer,
  stream: Stream,
  { socket }: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { promise: left, resolve } = Promise.withResolvers<void>()
  // It is silent for as long as nothing happens.
  socket.setTimeout(0)
  response.on('close', resolve).on('error', resolve)
  response.writeHead(answer.status, { 'content-type': answer.type, ...common, ...answer.headers })
  response.write(answer.body)
  const end = stream((text) => response.writableLength === 0 && response.write(text))
  await left
  end()
}

async function answerTo(routes: Routes, guard: Guard, request: IncomingMessage): Promise<HttpAnswer> {
  const refusal = guard(request)
  if (refusal) return refusal
  const [path = '', query = ''] = (request.url ?? '').split('?', 2)
  const above = path.slice(0, path.lastIndexOf('/') + 1)
  // `/` is a page of its own and not for what stands below it, which is all.
  const key = [path, ...(above === '/' ? [] : [above])].find((each) => Object.hasOwn(routes, each)) ?? ''
  const here = [routes[key] ?? []].flat()
  if (here.length === 0) return fault(404, 'not_found', 'there is nothing under this path')
  const route = here.find(({ method }) => method === (request.method === 'HEAD' ? 'GET' : request.method))
  if (!route) {
    const methods = here.flatMap(({ method }) => (method === 'GET' ? ['GET', 'HEAD'] : [method]))
    const named = here.map(({ method }) => method).join(' or ')
    return { ...fault(405, 'method_not_allowed', `use ${named}`), headers: { allow: methods.join(', ') } }
  }
  if (!route.takes && hasBody(request)) return fault(413, 'body_not_allowed', 'send no body')
  const body = route.takes ? await readObject(request, route.takes) : {}
  if (!body) return fault(400, 'bad_body', `send a ${route.takes === 'form' ? 'form' : 'JSON object'} of at most 16 KiB`)
  if (route.patience !== undefined) request.socket.setTimeout(route.patience)
  return route.answer(new URLSearchParams(query), body, path.slice(key.length), request.socket.remoteAddress ?? '')
}

const mostBody = 16 * 1024

async function readObject(request: IncomingMessage, as: 'json' | 'form'): Promise<Readonly<Record<string, unknown>> | undefined> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request) {
    size += (chunk as Buffer).length
    if (size > mostBody) return undefined
    chunks.push(chunk as Buffer)
  }
  const sent = Buffer.concat(chunks).toString('utf8')
  if (as === 'form') return Object.fromEntries(new URLSearchParams(sent))
  try {
    const value: unknown = JSON.parse(sent)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0'
}

async function closed(server: Server, held: HeldSocket | undefined): Promise<void> {
  await held?.release()
  const { promise, resolve } = Promise.withResolvers<void>()
  server.close(() => resolve())
  server.closeAllConnections()
  await promise
}
