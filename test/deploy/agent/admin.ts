/** A stand-in for the proxy's admin door: remembers what it was asked, answers what the test says. */
import { createServer } from 'node:http'
import { text } from 'node:stream/consumers'
import { closer, listen } from '../../kit/listen.ts'

export interface Asked {
  readonly method: string
  readonly path: string
  readonly body: unknown
  readonly authorization: string | undefined
}

export interface Admin extends AsyncDisposable {
  readonly url: string
  readonly asked: readonly Asked[]
}

export async function startAdmin(answer: (asked: Asked) => readonly [status: number, body?: unknown]): Promise<Admin> {
  const asked: Asked[] = []
  const server = createServer((request, response) => {
    void text(request).then((body) => {
      const one = {
        method: request.method ?? '',
        path: request.url ?? '',
        body: body === '' ? undefined : (JSON.parse(body) as unknown),
        authorization: request.headers.authorization,
      }
      asked.push(one)
      const [status, value] = answer(one)
      response.writeHead(status, { 'content-type': 'application/json' }).end(value === undefined ? '' : JSON.stringify(value))
    })
  })
  const close = closer(server)
  return { url: `http://127.0.0.1:${await listen(server)}`, asked, [Symbol.asyncDispose]: close }
}
