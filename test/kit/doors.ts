import { nodeRedirect, pythonRedirect } from './redirect.ts'

/** How a client comes to the proxy. `connect` and `absolute` know the proxy; the other two believe to reach the host. */
export type Door = 'connect' | 'transparent' | 'http' | 'absolute'

export interface DoorPorts {
  readonly http: number
  readonly https: number
  readonly proxy: number
  /** A SOCKS5 server that leads to `http` and `https`. */
  readonly redirect: number
}

/** What makes each program use a door: arguments, environment, or lines in front of its code. */
export interface DoorSettings {
  readonly curl: (url: string) => readonly string[]
  readonly git: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly node: string
  readonly python: string
}

/** Settings of a door for clients that trust the CA in `caFile`. */
export function throughDoor(door: Door, ports: DoorPorts, caFile: string): DoorSettings {
  const trust = {
    CURL_CA_BUNDLE: caFile,
    SSL_CERT_FILE: caFile,
    REQUESTS_CA_BUNDLE: caFile,
    GIT_SSL_CAINFO: caFile,
    NODE_EXTRA_CA_CERTS: caFile,
  }
  if (door === 'transparent' || door === 'http') {
    const redirects = { 80: ports.http, 443: ports.https }
    return {
      curl: (url) => {
        const { hostname, protocol } = new URL(url)
        return ['--connect-to', `${hostname}::127.0.0.1:${protocol === 'http:' ? ports.http : ports.https}`]
      },
      git: ['-c', `http.proxy=socks5h://127.0.0.1:${ports.redirect}`],
      env: trust,
      node: nodeRedirect(redirects),
      python: pythonRedirect(redirects),
    }
  }
  const proxy = `http://127.0.0.1:${ports.proxy}`
  return {
    // curl writes absolute-form for http URLs unless told to ask for a tunnel.
    curl: () => ['--proxy', proxy, '--suppress-connect-headers', ...(door === 'connect' ? ['--proxytunnel'] : [])],
    git: ['-c', `http.proxy=${proxy}`],
    env: { ...trust, HTTP_PROXY: proxy, http_proxy: proxy, HTTPS_PROXY: proxy, https_proxy: proxy, NODE_USE_ENV_PROXY: '1' },
    node: '',
    python: '',
  }
}
