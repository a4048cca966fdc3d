/**
 * How a refusal reads for the client that asked: many show one field of a body, or one type of body, and nothing else. One
 * table; the first row that knows the request decides. Each form holds the code, the reason, the hint and the request id.
 */
import { headerValue } from './headers.ts'
import type { RequestHead } from '#contracts/request.ts'

/** What every refusal says. Nothing here ever holds a header value, address or stack. */
export interface Explained {
  readonly code: string
  readonly message: string
  readonly agent: string | null
  readonly rule: string | null
  readonly host: string | null
  readonly method: string | null
  readonly path: string | null
  readonly request_id: string
  readonly hint: string
}

export interface Written {
  readonly type: string
  readonly text: string
}

/** As much of a request as tells who asks. */
export type Asking = Pick<RequestHead, 'host' | 'path' | 'query' | 'headers'>

interface Form {
  readonly id: string
  /** `agent` and `accept`: the headers User-Agent and Accept, in lower case. */
  asks(asking: Asking, agent: string, accept: string): boolean
  /** Its clients ask again after a 5xx, some for more than a minute: no status for what waiting cannot help. */
  readonly repeats?: boolean
  write(explained: Explained): Written
}

export const forms: readonly Form[] = [
  {
    // Prints a body of text/plain behind `remote:`, and no other (git, http.c, show_http_message).
    id: 'git',
    asks: ({ path }, agent) => /\/(?:info\/refs|git-(?:upload|receive)-pack)$/.test(path) || /^(?:git|jgit)\//.test(agent),
    write: plain,
  },
  {
    // Prints `message` (git-lfs, docs/api/batch.md).
    id: 'git-lfs',
    repeats: true,
    asks: (_asking, agent, accept) => agent.startsWith('git-lfs/') || accept.includes('application/vnd.git-lfs+json'),
    write: (explained) =>
      json({ message: sentence(explained), request_id: explained.request_id, error: explained }, 'application/vnd.git-lfs+json'),
  },
  {
    // Prints code and message of `errors` (OCI distribution specification 1.1, "Error Codes").
    id: 'oci',
    repeats: true,
    asks: ({ path }, agent, accept) =>
      /^\/v2\/(?:$|_catalog$|token$|.+\/(?:manifests|blobs|tags|referrers)\/)/.test(path) ||
      /^(?:docker|containerd|buildkit|buildah|skopeo|podman|containers|go-containerregistry|oras)\b/.test(agent) ||
      /application\/vnd\.(?:docker\.distribution|oci\.image)/.test(accept),
    write: (explained) => json({ errors: [{ code: 'DENIED', message: sentence(explained), detail: explained }] }),
  },
  {
    // Prints `error` if it is a string (npm-registry-fetch, lib/errors.js); an object is shown as [object Object].
    id: 'npm',
    repeats: true,
    asks: (_asking, agent, accept) =>
      /^(?:npm|pnpm|yarn|bun)\//.test(agent) || accept.includes('application/vnd.npm.install-v1+json'),
    write: ({ code, message, request_id, hint, ...rest }) =>
      json({ error: sentence({ code, message, request_id, hint }), code, reason: message, hint, request_id, ...rest }),
  },
  {
    // Print the whole body, or one of text/plain (Go: cmd/go/internal/web; cargo; twine), or the reason phrase alone (pip, apt, Maven).
    id: 'package-managers',
    repeats: true,
    asks: ({ path, query }, agent, accept) =>
      /^(?:pip|uv|poetry|pdm|pipenv|twine|cargo|debian apt|apk-tools|libdnf|wget|apache-maven|gradle|rubygems|bundler|composer|nuget)\b/.test(
        agent,
      ) ||
      /\/@(?:v\/|latest$)/.test(path) ||
      query.includes('go-get=1') ||
      accept.includes('application/vnd.pypi.simple'),
    write: plain,
  },
  {
    // Read `__type` and `message`, and XML from S3 (botocore, parsers.py).
    id: 'aws',
    repeats: true,
    asks: (_asking, agent) => /\b(?:boto3|botocore|aws-cli|aws-sdk-[a-z0-9-]+)\//.test(agent),
    write: (explained) =>
      isS3(explained.host)
        ? xml(explained)
        : json({ __type: 'AccessDeniedException', message: sentence(explained), error: explained }),
  },
  {
    // Read `message` at the top (gh, octokit, PyGithub).
    id: 'github',
    repeats: true,
    asks: ({ host, path }, agent, accept) =>
      host === 'api.github.com' ||
      host.endsWith('.ghe.com') ||
      path.startsWith('/api/v3/') ||
      /^github cli\b|\boctokit\b|^pygithub\b/.test(agent) ||
      accept.includes('application/vnd.github'),
    write: (explained) => json({ message: sentence(explained), error: explained }),
  },
  {
    id: 'text',
    asks: (_asking, _agent, accept) => accept.startsWith('text/plain'),
    write: plain,
  },
  { id: 'json', asks: () => true, write: (explained) => json({ error: explained }) },
]

/** The body of a refusal. `asking` left out: the request could not be read. */
export function writeRefusal(explained: Explained, asking: Asking | undefined): Written {
  const form = asking && formFor(asking)
  return form ? form.write(explained) : json({ error: explained })
}

/** Whether the client would ask again after a 5xx. */
export function repeatsServerErrors(asking: Asking | undefined): boolean {
  return (asking && formFor(asking)?.repeats) ?? false
}

function formFor(asking: Asking): Form | undefined {
  const agent = headerValue(asking.headers, 'user-agent')?.toLowerCase() ?? ''
  const accept = headerValue(asking.headers, 'accept')?.toLowerCase() ?? ''
  return forms.find((each) => each.asks(asking, agent, accept))
}

/** All that a client shows who shows one string. */
export function sentence({
  code,
  message,
  hint,
  request_id,
}: Pick<Explained, 'code' | 'message' | 'hint' | 'request_id'>): string {
  return `iron-proxy: ${message}; ${hint} (${code}, request ${request_id})`
}

/** What may stand behind the status in HTTP/1.1: many clients show nothing else. ASCII, and short. */
export function reasonPhrase(words: string, { code, message }: Pick<Explained, 'code' | 'message'>): string {
  return `${words} (iron-proxy ${code}: ${message})`.replaceAll(/[^ -~]/g, '?').slice(0, mostPhrase)
}

const mostPhrase = 240

function plain({ message, hint, code, request_id }: Explained): Written {
  return { type: 'text/plain; charset=utf-8', text: `iron-proxy: ${message}\n${hint}\n${code}, request ${request_id}\n` }
}

function json(body: object, type = 'application/json'): Written {
  return { type, text: `${JSON.stringify(body)}\n` }
}

function isS3(host: string | null): boolean {
  return host !== null && /(?:^|\.)s3[.-]/.test(host)
}

function xml(explained: Explained): Written {
  const fields = { Code: 'AccessDenied', Message: sentence(explained), RequestId: explained.request_id }
  const inner = Object.entries(fields).map(([name, value]) => `<${name}>${escaped(value)}</${name}>`)
  return { type: 'application/xml', text: `<?xml version="1.0" encoding="UTF-8"?>\n<Error>${inner.join('')}</Error>\n` }
}

function escaped(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}
