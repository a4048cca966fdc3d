/**
 * A service for the compose file: TLS with a root of its own, one real key that is made when it starts, a page that says
 * whether the key was shown, and a model that always costs the same. Root and key go to FOLDER for the proxy to read.
 */
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { parseHost } from '#base/host.ts'
import { createAuthority, openAuthority } from '#ca/authority.ts'
import { issueLeaf } from '#ca/leaf.ts'
import { subjectKey } from '#ca/x509.ts'

const { FOLDER: folder = '.', PORT: port = '0' } = process.env
const day = 86_400_000
const now = Date.now()
const ready = join(folder, 'ready')
rmSync(ready, { force: true })

const host = parseHost('api.service.example')
if (!host) throw new Error('the host has no plain name')
const root = createAuthority({ commonName: 'Root of the demo service', days: 30, now })
const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const leaf = issueLeaf(openAuthority({ ...root, now }), { hosts: [host], key: subjectKey(publicKey), now, lifetimeMs: 20 * day })
const key = `key-${randomBytes(16).toString('hex')}`

const server = createServer(
  { cert: leaf.certPem, key: privateKey.export({ type: 'pkcs8', format: 'pem' }) },
  (request, response) => {
    request.resume()
    const known = request.headers.authorization === `Bearer ${key}`
    const body = request.url === '/v1/chat/completions' ? completion : { key: known ? 'real' : 'unknown' }
    response.writeHead(known ? 200 : 401, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  },
)

const completion = {
  object: 'chat.completion',
  model: 'house-small',
  choices: [{ index: 0, finish_reason: 'stop', message: { role: 'assistant', content: 'hello' } }],
  usage: { prompt_tokens: 40, completion_tokens: 20, total_tokens: 60 },
}

server.listen(Number(port), '0.0.0.0', () => {
  writeFileSync(join(folder, 'root.crt'), root.certPem)
  writeFileSync(join(folder, 'key'), key, { mode: 0o600 })
  writeFileSync(ready, String((server.address() as AddressInfo).port))
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(0))
