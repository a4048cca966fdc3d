/** HTTP stacks: one request with a stub, and what a program that prints what it gets lets one see. */
import { have } from '../kit/clients.ts'
import type { Client, Command, Installed } from './types.ts'

const host = 'api.example.com'
const url = `https://${host}/served`
const served = /"?served"?: ?true/i

const noLogin = { refresh: 'has no login of its own' } as const

function system(program: string, args: readonly string[], shows: Client['shows'] = 'body'): Client {
  return {
    id: program,
    family: 'command line',
    version: () => undefined,
    missing: () => (have(program) ? undefined : `${program} is not installed`),
    host,
    command: () => ({ program, args }),
    served,
    shows,
    without: noLogin,
  }
}

function inPython(id: string, code: string): Client {
  return {
    id,
    family: 'Python',
    version: ({ versions }) => versions[`pypi:${id}`],
    missing: ({ versions }) => (id === 'urllib' || versions[`pypi:${id}`] ? undefined : `${id} was not installed`),
    host,
    command: (_state, { python }): Command => ({ program: python, args: ['-c', code] }),
    served,
    shows: 'body',
    without: noLogin,
  }
}

function inNode(id: string, code: string, from: 'npm' | 'node'): Client {
  return {
    id: `Node ${id}`,
    family: 'Node',
    version: ({ versions }) => (from === 'node' ? process.versions.node : versions[`npm:${id}`]),
    missing: ({ versions }) => (from === 'node' || versions[`npm:${id}`] ? undefined : `${id} was not installed`),
    host,
    command: (_state, installed) => nodeCommand(code, installed),
    served,
    shows: 'body',
    without: noLogin,
  }
}

/** A module that finds what the registry gave. */
export function nodeCommand(code: string, { modules }: Installed): Command {
  const given = `import { createRequire } from 'node:module'\nconst require = createRequire(${JSON.stringify(`${modules}/x.js`)})\n${code}`
  return { program: process.execPath, args: ['--input-type=module', '-'], input: given }
}

const bearer = 'Authorization: Bearer http-stub'
const headers = `{'authorization': 'Bearer http-stub'}`

export const httpClients: readonly Client[] = [
  system('curl', ['-sS', '--fail-with-body', '-H', bearer, url]),
  system('wget', ['-q', '-S', '--content-on-error', '-O', '-', `--header=${bearer}`, url]),
  inPython(
    'urllib',
    `import urllib.request, urllib.error\ntry:\n  print(urllib.request.urlopen(urllib.request.Request('${url}', headers=${headers})).read().decode())\nexcept urllib.error.HTTPError as e:\n  print(e, e.read().decode())`,
  ),
  inPython('requests', `import requests\nprint(requests.get('${url}', headers=${headers}).text)`),
  inPython('httpx', `import httpx\nprint(httpx.get('${url}', headers=${headers}, timeout=60).text)`),
  inPython(
    'aiohttp',
    `import aiohttp, asyncio\nasync def main():\n  async with aiohttp.ClientSession(trust_env=True) as s:\n    async with s.get('${url}', headers=${headers}) as r:\n      print(await r.text())\nasyncio.run(main())`,
  ),
  inNode('fetch', `console.log(await (await fetch('${url}', { headers: ${headers} })).text())`, 'node'),
  inNode(
    'undici',
    `const { request, EnvHttpProxyAgent } = require('undici')\nconst { body } = await request('${url}', { headers: ${headers}, dispatcher: new EnvHttpProxyAgent() })\nconsole.log(await body.text())`,
    'npm',
  ),
  inNode(
    'axios',
    `const { default: axios } = require('axios')\nconst { data } = await axios.get('${url}', { headers: ${headers}, validateStatus: () => true })\nconsole.log(JSON.stringify(data))`,
    'npm',
  ),
]
