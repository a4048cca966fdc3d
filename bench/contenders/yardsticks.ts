/** What is not a product: no proxy at all, and the least that can be called such a proxy on Node. */
import { join } from 'node:path'
import { warmNative, warmNode } from './types.ts'
import type { Contender } from './types.ts'

export const direct: Contender = {
  name: 'direct',
  way: 'tls',
  warm: warmNative,
  opens: false,
  version: () => 'no proxy',
  start: (_stage, _core, upstream) =>
    Promise.resolve({ at: upstream, port: 443, pid: 0, startedIn: 0, stop: () => Promise.resolve() }),
}

/** See sketch.js. It stands for what Node and undici cost on this machine, whatever machine that is. */
export const sketch: Contender = {
  name: 'Node sketch (no policy)',
  way: 'connect',
  warm: warmNode,
  opens: true,
  version: () => `on Node ${process.version}`,
  start(stage, core) {
    const { folder, upstreamCa } = stage
    const script = join(import.meta.dirname, 'sketch.js')
    const certificate = [join(folder, 'upstream.crt'), join(folder, 'upstream.key')]
    return stage.proxy(core, 9107, [process.execPath, script, '9107', ...certificate, upstreamCa])
  },
}
