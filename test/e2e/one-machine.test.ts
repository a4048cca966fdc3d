/** The section "On one machine" of deploy/README.md, as it stands there: only ports and the name of the program differ. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { testAuthority } from '../kit/ca.ts'
import { freePorts, startChild } from '../kit/child.ts'
import { have, run } from '../kit/clients.ts'
import { startUpstream } from '../kit/upstream.ts'
import { makeWorkspace } from '../kit/workspace.ts'

const top = join(import.meta.dirname, '..', '..')
const section = /^## On one machine$[^]*?(?=^## )/m.exec(readFileSync(join(top, 'deploy/README.md'), 'utf8'))?.[0] ?? ''
const [steps = '', transparent = ''] = [...section.matchAll(/^```sh\n([^]*?)^```$/gm)].map(([, text = '']) => text)
const policy = readFileSync(join(top, 'policies/default.yaml'), 'utf8')
/** The first rule of its comments, in the place that they name. */
const edited = policy.replace(/^rules: \[\]$/m, (/^# rules:\n(?:# {3}.*\n)+/m.exec(policy)?.[0] ?? '').replaceAll(/^# /gm, ''))

test.skipIf(!have('curl') || !have('dig'))(
  'what README shows on one machine is refused, and passes with the first rule (needs curl and dig)',
  async () => {
    await using files = await makeWorkspace(policy, [])
    await using upstream = await startUpstream({ certificate: testAuthority().leaf('example.com') })
    const [dns = 0] = await freePorts(1)
    await using child = await startChild({ files, hosts: { 'example.com': upstream.port }, settings: { listen: { dns } } })
    const shell = (text: string) => {
      const program = `${process.execPath} ${join(top, 'src/bin.js')}`
      const script = text
        .replaceAll('npx iron-proxy env', `${program} env --config ${join(files.folder, 'settings.yaml')}`)
        .replaceAll('8080', String(child.ports.proxy))
        .replaceAll('10443', String(child.ports.https))
        .replaceAll('1053', String(dns))
        .replaceAll('curl ', 'curl -sS ')
      return run('bash', ['-c', script], { cwd: files.folder })
    }
    const refused = await shell(steps)
    expect(refused.stdout).toContain('"code":"host_denied"')
    await expect.poll(() => files.audit(), { timeout: 10_000 }).toContain('"code":"host_denied"')
    expect(upstream.requests).toHaveLength(0)

    await files.writePolicy(edited)
    await expect.poll(async () => (await shell(steps)).code, { timeout: 20_000 }).toBe(0)
    const [trust = ''] = steps.split('\n')
    const open = await shell(`${trust}\n${transparent}`)
    expect(open.stderr).toBe('')
    expect(open.stdout).toMatch(/^127\.0\.0\.1\n./)
    expect(upstream.requests.length).toBeGreaterThan(1)
  },
)
