/** Proxies from Debian's packages. Each is shown at its best: no policy, no access log, one core, upstream certificates verified. */
import { spawnSync } from 'node:child_process'
import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Stage } from '../stage.ts'
import { warmNative, warmNode } from './types.ts'
import type { Contender } from './types.ts'

/** What a program says of its version, if there is such a program. */
export function said(command: string, flag: string, pattern: RegExp): string | undefined {
  const { stdout, stderr, error } = spawnSync(command, [flag], { env: { PATH: `${process.env['PATH']}:/usr/sbin` } })
  return error ? undefined : pattern.exec(`${stdout.toString()}${stderr.toString()}`)?.[1]
}

function write(stage: Stage, name: string, text: string): string {
  const path = join(stage.folder, name)
  writeFileSync(path, text)
  return path
}

export const haproxy: Contender = {
  name: 'HAProxy (TCP, unopened)',
  way: 'tls',
  warm: warmNative,
  opens: false,
  version: () => said('haproxy', '-v', /version (\S+)/),
  start(stage, core, upstream) {
    const port = 9101
    const config = `global
  nbthread 1
  maxconn 8000
defaults
  mode tcp
  timeout connect 5s
  timeout client 600s
  timeout server 600s
listen pass
  bind 127.0.0.1:${port} backlog 16384
  server upstream ${upstream}:443
`
    return stage.proxy(core, port, ['haproxy', '-db', '-f', write(stage, 'haproxy.cfg', config)])
  },
}

export const nginx: Contender = {
  name: 'nginx (fixed certificate)',
  way: 'tls',
  warm: warmNative,
  opens: true,
  version: () => said('nginx', '-v', /nginx\/(\S+)/),
  start(stage, core, upstream) {
    const port = 9102
    const { folder } = stage
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((each) => `${each}_temp_path ${folder}/n-${each};`)
    const config = `${process.getuid?.() === 0 ? 'user root;' : ''} daemon off; worker_processes 1; pid ${folder}/nginx.pid;
events { worker_connections 16384; }
http {
  access_log off; keepalive_requests 100000000; keepalive_timeout 300; client_max_body_size 0; tcp_nodelay on; ${temporary.join(' ')}
  upstream up { server ${upstream}:443; keepalive 2048; keepalive_requests 100000000; }
  map $http_upgrade $with_upgrade { default upgrade; '' ''; }
  server {
    listen 127.0.0.1:${port} ssl http2 backlog=16384;
    ssl_certificate ${folder}/upstream.crt; ssl_certificate_key ${folder}/upstream.key;
    ssl_session_cache shared:s:10m;
    location / {
      proxy_pass https://up; proxy_http_version 1.1; proxy_set_header Connection $with_upgrade; proxy_set_header Upgrade $http_upgrade; proxy_set_header Host $host;
      proxy_set_header Authorization "Bearer real"; proxy_request_buffering off; proxy_buffering off;
      proxy_ssl_trusted_certificate ${stage.upstreamCa}; proxy_ssl_verify on; proxy_ssl_server_name on; proxy_ssl_name api.bench.test;
      proxy_read_timeout 600s;
    }
  }
}
`
    return stage.proxy(core, port, ['nginx', '-e', `${folder}/nginx.err`, '-c', write(stage, 'nginx.conf', config)])
  },
}

export const squid: Contender = {
  name: 'squid (ssl_bump)',
  way: 'connect',
  warm: warmNative,
  opens: true,
  version: () => said('squid', '-v', /Version (\S+)/),
  async start(stage, core) {
    const port = 9103
    const { folder, ca } = stage
    const home = join(folder, 'squid')
    mkdirSync(home, { recursive: true })
    chmodSync(home, 0o777)
    chmodSync(ca.both, 0o644)
    spawnSync('/usr/lib/squid/security_file_certgen', ['-c', '-s', `${home}/certs`, '-M', '16MB'])
    spawnSync('chown', ['-R', 'proxy:proxy', home])
    const config = `http_port 127.0.0.1:${port} ssl-bump tls-cert=${ca.both} generate-host-certificates=on dynamic_cert_mem_cache_size=16MB
sslcrtd_program /usr/lib/squid/security_file_certgen -s ${home}/certs -M 16MB
sslcrtd_children 2 startup=1
tls_outgoing_options cafile=${stage.upstreamCa}
ssl_bump bump all
http_access allow all
http_upgrade_request_protocols websocket allow all
request_header_access Authorization deny all
request_header_replace Authorization Bearer real
cache deny all
access_log none
cache_log /dev/null
cache_store_log none
pid_filename ${home}/pid
coredump_dir ${home}
workers 1
client_persistent_connections on
server_persistent_connections on
pinger_enable off
max_filedescriptors 16384
shutdown_lifetime 0 seconds
`
    return stage.proxy(core, port, ['squid', '-N', '-f', write(stage, 'squid.conf', config)])
  },
}

/** Bodies whose length is not known are collected unless a script says otherwise. */
const addon = `def requestheaders(flow):
    flow.request.stream = True
    flow.request.headers['authorization'] = 'Bearer real'

def responseheaders(flow):
    flow.response.stream = True
`

export const mitmproxy: Contender = {
  name: 'mitmproxy',
  way: 'connect',
  warm: warmNode,
  opens: true,
  version: () => said('mitmdump', '--version', /Mitmproxy: (\S+)/),
  start(stage, core) {
    const port = 9104
    const home = join(stage.folder, 'mitmproxy')
    mkdirSync(home, { recursive: true })
    copyFileSync(stage.ca.both, join(home, 'mitmproxy-ca.pem'))
    return stage.proxy(core, port, [
      'mitmdump',
      '-q',
      `--listen-port=${port}`,
      '--listen-host=127.0.0.1',
      `--set=confdir=${home}`,
      '--set=flow_detail=0',
      `--set=ssl_verify_upstream_trusted_ca=${stage.upstreamCa}`,
      `--scripts=${write(stage, 'mitmproxy.py', addon)}`,
    ])
  },
}
