/** What is asked in the end: nginx for what is ready, Node for what takes time, and a sink for what is sent up. */
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { cores, events, uploads, upstream } from './names.ts'
import type { Running, Stage } from './stage.ts'

interface Files {
  readonly cert: string
  readonly key: string
}

/** Bodies to be sent down, as files with holes: they cost no disk. */
const bodies = { '1m': 2 ** 20, '10m': 10 * 2 ** 20, '400m': 400 * 2 ** 20, '1g': 2 ** 30 } as const

/** Starts all of them beside the load. Resolves when they take connections. */
export async function startUpstreams(stage: Pick<Stage, 'folder' | 'sink' | 'spawn'>, files: Files): Promise<void> {
  const { folder } = stage
  mkdirSync(join(folder, 'file'))
  for (const [name, size] of Object.entries(bodies)) {
    writeFileSync(join(folder, 'file', name), '')
    truncateSync(join(folder, 'file', name), size)
  }
  const conf = join(folder, 'upstream.conf')
  writeFileSync(conf, nginxConf(stage, files))
  const { cert, key } = files
  const start = (at: string, ...command: readonly string[]): Running => stage.spawn(cores.load, command, { at, port: 443 })
  await Promise.all(
    [
      start(upstream, 'nginx', '-e', join(folder, 'nginx.err'), '-c', conf),
      start(events, process.execPath, join(import.meta.dirname, 'events.ts'), cert, key, events),
      start(uploads, stage.sink, cert, key, uploads, '443'),
    ].map(({ ready }) => ready),
  )
}

/** How many connections the upstream has taken so far. */
export async function taken(): Promise<number> {
  const told = await (await fetch(`http://${upstream}/`, { headers: { connection: 'close' } })).text()
  return Number(/requests\s+(\d+)/.exec(told)?.[1] ?? Number.NaN)
}

function nginxConf({ folder }: Pick<Stage, 'folder'>, { cert, key }: Files): string {
  const json = JSON.stringify({ data: 'x'.repeat(1012) })
  const completion = JSON.stringify({
    id: 'c',
    object: 'chat.completion',
    model: 'gpt-5',
    choices: [{ index: 0, finish_reason: 'stop', message: { role: 'assistant', content: 'x'.repeat(760) } }],
    usage: { prompt_tokens: 50, completion_tokens: 200, total_tokens: 250 },
  })
  const location = (path: string, body: string) => `location ${path} { default_type application/json; return 200 '${body}'; }`
  return `${process.getuid?.() === 0 ? 'user root;' : ''} daemon off; worker_processes 1; pid ${folder}/upstream.pid;
events { worker_connections 16384; }
http {
  access_log off; keepalive_requests 100000000; keepalive_timeout 300; client_max_body_size 0; sendfile on; tcp_nodelay on;
  ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((each) => `${each}_temp_path ${folder}/${each};`).join(' ')}
  ssl_certificate ${cert}; ssl_certificate_key ${key}; ssl_session_cache shared:s:10m;
  server { listen ${upstream}:80; location / { stub_status; } }
  server {
    listen ${upstream}:443 ssl backlog=16384;
    ${location('/json', json)}
    ${location('/v1/chat/completions', completion)}
    location /echo { return 200 '$http_authorization'; }
    location /file/ { root ${folder}; }
    location / { return 200 'ok'; }
  }
}
`
}
