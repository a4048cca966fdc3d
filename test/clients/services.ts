/** The hosts that clients ask, as far as these clients read them: models, GitHub, registries, S3, and token endpoints that know no login. */
import type { ServerResponse } from 'node:http'
import { Llm } from '../kit/llm.ts'
import type { Visit } from '../kit/upstream.ts'

const llm = new Llm()
const sha = 'a'.repeat(40)

/** Takes every request. */
export function serve(visit: Visit): boolean {
  const { request, response } = visit
  const host = request.headers.host ?? ''
  const url = new URL(request.url ?? '/', `https://${host}`)
  const codex =
    url.pathname.endsWith('responses') &&
    /codex/i.test(String(request.headers['originator'] ?? request.headers['user-agent'] ?? ''))
  if (codex) {
    request.resume()
    codexResponse(response)
  } else if (
    /\/(?:messages|completions|responses)$|enerateContent$/.test(url.pathname) &&
    host !== 'cloudcode-pa.googleapis.com'
  ) {
    return llm.handle(visit)
  } else {
    request.resume()
    answer(host, url, request.headers.authorization !== undefined, response)
  }
  return true
}

function answer(host: string, url: URL, authorized: boolean, response: ServerResponse): void {
  const path = url.pathname
  switch (host) {
    case 'login.example.com':
    case 'platform.claude.com':
    case 'auth.openai.com':
      return json(response, { error: 'invalid_grant', error_description: 'the refresh token is not known' }, 400)
    case 'oauth2.googleapis.com':
      if (path === '/tokeninfo') return json(response, { scope: 'a', expires_in: '3600', email: 'agent@example.com' })
      return json(response, { error: 'invalid_grant' }, 400)
    case 'www.googleapis.com':
      return json(response, { id: '1', email: 'agent@example.com' })
    case 'cloudcode-pa.googleapis.com':
      return codeAssist(path, response)
    case 'chatgpt.com':
      return json(response, chatGpt(path))
    case 'api.github.com':
      return json(response, { login: 'served', id: 1 })
    case 'github.com':
      return gitHub(path, authorized, response)
    case 'npm.example.com':
      return json(response, packument)
    case 'pypi.example.com':
      return send(
        response,
        'text/html',
        '<!DOCTYPE html><a href="https://pypi.example.com/files/served-1.0.tar.gz">served-1.0.tar.gz</a>',
      )
    case 'go.example.com':
      return json(response, { Version: 'v1.0.0', Time: '2026-01-01T00:00:00Z' })
    case 'index.example.com':
      return json(response, { dl: 'https://crates.example.com/crates', api: 'https://crates.example.com' })
    case 'crates.example.com':
      return json(response, { crates: [{ name: 'served', max_version: '1.0.0', description: 'served' }], meta: { total: 1 } })
    case 's3.us-east-1.amazonaws.com':
      return send(response, 'application/xml', '')
    default:
      return json(response, { served: true })
  }
}

/** Codex looks for its account among those that it may use, and asks for models before it asks one. */
function chatGpt(path: string): object {
  const id = '00000000-0000-0000-0000-000000000000'
  if (path.endsWith('/accounts/check')) {
    const account = {
      id,
      workspace_backend_origin: 'NO_CONSTRAINT',
      account_routing_override: 'NO_CONSTRAINT',
      plan_type: 'plus',
      structure: 'personal',
      name: 'agent',
    }
    return { accounts: [account], default_account_id: id, account_ordering: [id] }
  }
  return path.endsWith('/models') ? { models: [] } : {}
}

const packument = {
  name: 'left-pad',
  'dist-tags': { latest: '1.3.0' },
  versions: {
    '1.3.0': { name: 'left-pad', version: '1.3.0', description: 'served', dist: { tarball: 'https://npm.example.com/l.tgz' } },
  },
}

function gitHub(path: string, authorized: boolean, response: ServerResponse): void {
  // Git sends a password only where it is asked for one.
  if (!authorized && path !== '/lfs-object') {
    response.writeHead(401, { 'www-authenticate': 'Basic realm="GitHub"' }).end()
    return
  }
  if (path.endsWith('/info/lfs/objects/batch')) {
    const actions = { download: { href: 'https://github.com/lfs-object' } }
    return send(
      response,
      'application/vnd.git-lfs+json',
      JSON.stringify({ objects: [{ oid: lfsObject.oid, size: lfsObject.text.length, actions }] }),
    )
  }
  if (path === '/lfs-object') return send(response, 'application/octet-stream', lfsObject.text)
  // gitprotocol-http, "Smart Server Response".
  const lines = [
    line('# service=git-upload-pack\n'),
    '0000',
    line(`${sha} HEAD\0agent=git/2\n`),
    line(`${sha} refs/heads/served\n`),
    '0000',
  ]
  send(response, 'application/x-git-upload-pack-advertisement', lines.join(''))
}

/** The object of a pointer file; its name is its SHA-256. */
export const lfsObject = { text: 'served\n', oid: 'c5acc4ae7d85cda11df11e6bc0c06ab55bffbd2b3db121d0a9e3ebb98bd98cac' }

function line(text: string): string {
  return (text.length + 4).toString(16).padStart(4, '0') + text
}

function codeAssist(path: string, response: ServerResponse): void {
  if (!path.endsWith(':streamGenerateContent')) {
    return json(response, {
      currentTier: { id: 'standard-tier', name: 'served', userDefinedCloudaicompanionProject: false },
      allowedTiers: [],
      cloudaicompanionProject: 'project',
    })
  }
  const candidates = [{ content: { role: 'model', parts: [{ text: 'word word word' }] }, index: 0, finishReason: 'STOP' }]
  const usageMetadata = { promptTokenCount: 10, candidatesTokenCount: 3, totalTokenCount: 13 }
  send(
    response,
    'text/event-stream',
    `data: ${JSON.stringify({ response: { candidates, usageMetadata, modelVersion: 'gemini-2.5-pro' } })}\r\n\r\n`,
  )
}

/** Codex shows what stands in items that are done. */
function codexResponse(response: ServerResponse): void {
  const item = {
    type: 'message',
    id: 'item_1',
    status: 'completed',
    role: 'assistant',
    content: [{ type: 'output_text', text: 'word word word', annotations: [] }],
  }
  const usage = {
    input_tokens: 10,
    input_tokens_details: { cached_tokens: 0 },
    output_tokens: 3,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: 13,
  }
  const whole = { id: 'resp_1', object: 'response', status: 'completed', model: 'gpt-5.5', output: [item], usage }
  const events = [
    { type: 'response.created', response: { id: 'resp_1' } },
    { type: 'response.output_item.done', output_index: 0, item },
    { type: 'response.completed', response: whole },
  ]
  send(response, 'text/event-stream', events.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`).join(''))
}

function json(response: ServerResponse, body: object, status = 200): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(body))
}

function send(response: ServerResponse, type: string, body: string): void {
  response.writeHead(200, { 'content-type': type })
  response.end(body)
}
