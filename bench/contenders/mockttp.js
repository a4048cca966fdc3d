// node mockttp.js PORT CA-CERT CA-KEY UPSTREAM-CA
import { readFileSync } from 'node:fs'
import { generateCACertificate, getLocal } from 'mockttp'

const [port, , , upstreamCa] = process.argv.slice(2)
const proxy = getLocal({ https: await generateCACertificate(), http2: 'fallback', recordTraffic: false })
const additionalTrustedCAs = [{ cert: readFileSync(upstreamCa, 'utf8') }]
await proxy.forAnyRequest().thenPassThrough({
  additionalTrustedCAs,
  transformRequest: { updateHeaders: { authorization: 'Bearer real' } },
})
await proxy.forAnyWebSocket().thenPassThrough({ additionalTrustedCAs })
await proxy.start(Number(port))
