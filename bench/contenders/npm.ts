/** Proxies from npm, which live in a package of their own: `npm install --prefix bench/contenders`, as its lock file says. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { warmNode } from './types.ts'
import type { Contender } from './types.ts'

const peer = (name: string, port: number): Contender => ({
  name,
  way: 'connect',
  warm: warmNode,
  opens: true,
  version() {
    const manifest = join(import.meta.dirname, 'node_modules', name, 'package.json')
    return existsSync(manifest) ? (JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }).version : undefined
  },
  start(stage, core) {
    const script = join(import.meta.dirname, `${name}.js`)
    return stage.proxy(core, port, [process.execPath, script, String(port), stage.ca.cert, stage.ca.key, stage.upstreamCa])
  },
})

export const httpMitmProxy = peer('http-mitm-proxy', 9105)
export const mockttp = peer('mockttp', 9106)
