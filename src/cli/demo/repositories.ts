import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { DemoDoor } from './agent.ts'
import { basicPassword } from './git-backend.ts'
import type { Stage } from './stage.ts'
import { saw } from './step.ts'
import type { Row, DemoStep } from './step.ts'
import type { SeenRequest } from './upstream.ts'

export const clone: DemoStep = {
  title: 'git clone: the stub is the password, by CONNECT and by DNS + SNI',
  async act(stage) {
    const { upstream, tools } = stage
    const byConnect = await cloneBy('connect', stage)
    const requests = upstream.newRequests()
    const bySni = tools.gitResolves ? await cloneBy('sni', stage) : undefined
    const sniRequests = upstream.newRequests()
    return {
      rows: [
        ...byConnect.rows,
        saw(requests.filter(isFetch).slice(-1)),
        ...(bySni?.rows ?? [['left out', 'DNS + SNI: only git 2.37 and newer can be told where a name is'] as const]),
      ],
      held: {
        'git ends well and the file is there': byConnect.done,
        'the upstream sees the real token as the password': requests.some((each) => isFetch(each) && hasToken(each, stage)),
        'so it does by DNS + SNI': bySni === undefined || (bySni.done && sniRequests.some((each) => hasToken(each, stage))),
      },
    }
  },
}

async function cloneBy(door: DemoDoor, { agent }: Stage): Promise<{ readonly rows: readonly Row[]; readonly done: boolean }> {
  const url = agent.repository(door, 'crew/app')
  const { code, stderr } = await agent.git(door, ['clone', '--quiet', url, `app-${door}`])
  const text = await readFile(agent.file(join(`app-${door}`, 'README.md')), 'utf8').catch(() => stderr)
  const rows: Row[] = [
    ['agent ran', `git clone ${url}`],
    ['agent got', `README.md: ${text.trim()}`],
  ]
  return { rows, done: code === 0 && text.startsWith('cloned') }
}

export const push: DemoStep = {
  title: 'git push: crew/app may be written, crew/infra only read',
  async act(stage) {
    const { agent, upstream } = stage
    const work = agent.file('app-connect')
    await agent.git('connect', ['commit', '--quiet', '--allow-empty', '--message', 'from the agent'], work)
    const pushTo = (name: string) =>
      agent.git('connect', ['push', '--quiet', agent.repository('connect', name), 'HEAD:main'], work)
    const app = await pushTo('crew/app')
    const written = upstream.newRequests()
    const infra = await pushTo('crew/infra')
    const refused = upstream.newRequests()
    return {
      rows: [
        ['agent ran', `git push ${agent.repository('connect', 'crew/app')} HEAD:main`],
        saw(written.filter(isPush)),
        ['agent ran', `git push ${agent.repository('connect', 'crew/infra')} HEAD:main`],
        saw(refused),
        ['agent got', lastLine(infra.stderr)],
      ],
      held: {
        'the push within the scope is accepted': app.code === 0 && written.some((each) => isPush(each) && hasToken(each, stage)),
        'the push outside of it fails': infra.code !== 0 && infra.stderr.includes('403'),
        'the upstream sees nothing of that': refused.length === 0,
      },
    }
  },
}

/** Of the requests git makes, those that carry the objects. */
const isFetch = ({ method, path }: SeenRequest): boolean => method === 'POST' && path.endsWith('/git-upload-pack')
const isPush = ({ method, path }: SeenRequest): boolean => method === 'POST' && path.endsWith('/git-receive-pack')

function hasToken({ headers }: SeenRequest, { reals }: Stage): boolean {
  return basicPassword(headers.authorization) === reals.github
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1) ?? ''
}
