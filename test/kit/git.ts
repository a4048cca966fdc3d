import { mkdtemp, rm } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer as createTcpServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { askForPassword, basicPassword, serveGit } from '#cli/demo/git-backend.ts'
import { git } from './clients.ts'
import { makeRepository } from './git-repository.ts'
import { closer, listen, type Certificate, type Draft, type Started } from './listen.ts'
import { createServer } from './upstream.ts'

export interface GitServerOptions {
  readonly certificate: Certificate
  /** The password of Basic that opens the repositories; the username is free, as at GitHub. */
  readonly token: string
  readonly protocol?: 'h1' | 'h2' | 'both'
}

export interface SeenGitRequest {
  readonly method: string
  readonly target: string
  readonly authorization: string | undefined
  readonly status: number
  readonly bytesUp: number
  readonly bytesDown: number
}

export interface GitServer extends Started {
  readonly requests: readonly SeenGitRequest[]
  /** Makes the repository `owner/name.git` with one commit of `bytes` bytes that do not compress. */
  makeRepository(name: string, options?: { readonly bytes?: number }): Promise<void>
  /** What a ref of a repository points at, to see that a push arrived; empty when there is none. */
  revision(name: string, ref: string): Promise<string>
}

/**
 * Starts a smart HTTP git server around `git http-backend`. Like GitHub's it answers 401 first, and git then sends the
 * request again with Basic. Fetches and pushes stream through, both ways.
 */
export async function startGitServer(options: GitServerOptions): Promise<GitServer> {
  const root = await mkdtemp(join(tmpdir(), 'git-'))
  const backend = join((await git(['--exec-path'])).stdout.trim(), 'git-http-backend')
  const requests: Draft<SeenGitRequest>[] = []
  const http = createServer(options)

  http.on('request', (request: IncomingMessage, response: ServerResponse) => {
    const { authorization } = request.headers
    const seen: Draft<SeenGitRequest> = {
      method: request.method ?? '',
      target: request.url ?? '',
      authorization,
      get status() {
        return response.statusCode
      },
      bytesUp: 0,
      bytesDown: 0,
    }
    requests.push(seen)
    request.on('error', () => {})
    response.on('error', () => {})
    request.on('data', (bytes: Buffer) => (seen.bytesUp += bytes.length))
    if (basicPassword(authorization) !== options.token) return askForPassword(response)
    const onBody = (bytes: number): void => void (seen.bytesDown += bytes)
    serveGit(request, response, { backend, root, path: process.env['PATH'] ?? '', onBody }).catch(() => response.destroy())
  })

  const front = createTcpServer((socket) => http.emit('connection', socket))
  const close = closer(front)
  const folder = (name: string): string => join(root, `${name}.git`)
  return {
    port: await listen(front),
    requests,
    makeRepository: (name, { bytes = 0 } = {}) => makeRepository(folder(name), bytes),
    revision: async (name, ref) => (await git(['rev-parse', '--verify', '--quiet', ref], { cwd: folder(name) })).stdout.trim(),
    [Symbol.asyncDispose]: async () => {
      await close()
      // A backend that was just cut off may still be writing.
      await rm(root, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 })
    },
  }
}
