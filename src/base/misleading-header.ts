/** Names of headers, folded, that make a host act on another request than the one the proxy judged. */

/** Method overrides: a GET that a rule allows would arrive as a DELETE. */
const methods =
  'x-http-method x-http-method-override x-http-override x-method x-method-override x-override-method x-tunneled-method'

/** URL and host overrides of proxies and frameworks; `x-forwarded-…` and the like are families below. */
const places =
  'base-url forwarded-host request-uri x-accel-mapping x-backend-host x-gateway-host x-host x-host-override ' +
  'x-http-destinationurl x-http-host-override x-http-path-override x-invoke-path x-matched-path x-middleware-rewrite ' +
  'x-ms-original-url x-override-path x-override-uri x-override-url x-path-override x-proxy-host x-proxy-url x-real-host ' +
  'x-real-port x-real-proto x-real-uri x-request-uri x-scheme x-sendfile-type x-server-name x-unencoded-url x-uri-override ' +
  'x-url-override x-url-scheme x-waws-unencoded-url front-end-https'

/** What front servers say of the client: its address, its certificate (RFC 9440), its user. */
const clients =
  'cdn-real-ip cdn-src-ip cf-connecting-ip cf-connecting-ipv6 cf-ipcountry cf-pseudo-ipv4 client-cert client-cert-chain ' +
  'client-ip do-connecting-ip fastly-client-ip fly-client-ip forwarded forwarded-for forwarded-for-ip proxy-client-ip ' +
  'remote-addr remote-user true-client-ip via wl-proxy-client-ip x-appengine-remote-addr x-appengine-user-ip ' +
  'x-arr-clientcert x-azure-clientip x-azure-socketip x-client-cert x-client-ip x-cluster-client-ip ' +
  'x-envoy-external-address x-envoy-internal x-forwarder-for x-nf-client-connection-ip x-originating-ip x-proxyuser-ip ' +
  'x-real-ip x-remote-addr x-remote-ip x-remote-user x-ssl-client-cert x-true-client-ip'

/** `Proxy` becomes the variable HTTP_PROXY under CGI (CVE-2016-5385); the rest speaks to this hop alone. */
const ours = 'expect http2-settings proxy x-run-id'

const misleading: ReadonlySet<string> = new Set([methods, places, clients, ours].join(' ').split(' '))

/** `x-forwarded-for`, `x-original-url`, `x-rewrite-url`, `x-envoy-original-path`, and what else these begin. */
const families = /^x-(?:(?:forward(?:ed)?|original|originally|rewrite)(?:-|$)|envoy-original-|vercel-forwarded-)/

/** Whether a host could take this header for another method, URL or client; `name` is folded. Such a header is stripped. */
export function misleadsHost(name: string): boolean {
  return misleading.has(name) || (name.startsWith('x-') && families.test(name))
}
