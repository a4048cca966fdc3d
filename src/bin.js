#!/usr/bin/env node
// Plain JavaScript, so that an old Node can at least say what is wrong before it meets TypeScript.
import module from 'node:module'
import { setFlagsFromString } from 'node:v8'

const oldest = 24
if (Number.parseInt(process.versions.node, 10) < oldest) {
  process.stderr.write(
    `iron-proxy needs Node ${oldest} or newer; this is ${process.version}. \`npm ci\` brings one: node_modules/.bin/node\n`,
  )
  process.exit(78)
}
// Bodies go through buffers that die young. Without this V8 marks the whole heap for every 64 MB of them, and a large transfer costs
// twice as much (V8 14, Node 26).
setFlagsFromString('--external-memory-accounted-in-global-limit')
module.enableCompileCache?.()
await import('./main.ts')
