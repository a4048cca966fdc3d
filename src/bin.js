#!/usr/bin/env node
// Plain JavaScript, so that an old Node can at least say what is wrong before it meets TypeScript.
import module from 'node:module'

const oldest = 24
if (Number.parseInt(process.versions.node, 10) < oldest) {
  process.stderr.write(
    `iron-proxy needs Node ${oldest} or newer; this is ${process.version}. \`npm ci\` brings one: node_modules/.bin/node\n`,
  )
  process.exit(78)
}
module.enableCompileCache?.()
await import('./main.ts')
