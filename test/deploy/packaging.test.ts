import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { describe, expect, it } from 'vitest'
import { loadSettings } from '#config/settings.ts'
import { have, run } from '../kit/clients.ts'
import { deploy, outputOf, top, yamlOf } from './parts.ts'

const dockerfile = readFileSync(join(deploy, 'Dockerfile'), 'utf8')

describe('the image', () => {
  const copied = [...dockerfile.matchAll(/^COPY (?!--)(.+) (\S+)$/gm)].flatMap(([, from = '', to = '']) =>
    from.split(' ').map((source) => [source, to === './' ? source : to] as const),
  )

  it('runs with what is copied into it, and the production dependencies', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'image-'))
    try {
      for (const [source, to] of copied) {
        mkdirSync(dirname(join(folder, to)), { recursive: true })
        cpSync(join(top, source), join(folder, to), { recursive: true })
      }
      mkdirSync(join(folder, 'node_modules'))
      const { dependencies } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { dependencies: object }
      for (const name of Object.keys(dependencies)) {
        mkdirSync(dirname(join(folder, 'node_modules', name)), { recursive: true })
        symlinkSync(join(top, 'node_modules', name), join(folder, 'node_modules', name))
      }
      const version = await run(process.execPath, [join(folder, 'src', 'bin.js'), 'version', '--json'])
      expect(JSON.parse(version.stdout)).toMatchObject({ version: expect.any(String) as string })
      const checked = await run(process.execPath, [join(folder, 'src', 'bin.js'), 'check', join(deploy, 'compose', 'policies')])
      expect(checked.stderr + checked.stdout).toContain('demo.yaml')
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  it('is built from nothing that its ignore file hides', () => {
    const shown = readFileSync(join(deploy, 'Dockerfile.dockerignore'), 'utf8')
      .split('\n')
      .filter((line) => line.startsWith('!'))
      .map((line) => line.slice(1))
    expect(copied.map(([source]) => source).toSorted()).toEqual(shown.toSorted())
  })

  it('says which commit it is, in the place that the product reads', () => {
    const [, from = 'none'] = /sed -i "s\/([^/]+)\//.exec(dockerfile) ?? []
    expect(readFileSync(join(top, 'src', 'cli', 'about.ts'), 'utf8')).toContain(from)
  })

  it('runs as a number that is not root, without a shell', () => {
    expect(dockerfile).toMatch(/^USER 65532:65532$/m)
    expect(dockerfile).toMatch(/^ARG BASE=gcr\.io\/distroless\//m)
    const last = dockerfile.slice(dockerfile.lastIndexOf('\nFROM '))
    expect(last).not.toMatch(/^RUN /m)
    for (const word of ['ENTRYPOINT', 'CMD', 'HEALTHCHECK']) expect(last).toMatch(new RegExp(`^${word}.*\\[.*\\]$`, 'm'))
  })
})

describe('the memory of the process', () => {
  it.each(['Dockerfile', 'systemd/iron-proxy.service', 'compose.yaml'])(
    'is kept small by %s: two arenas for all threads',
    (file) => {
      expect(readFileSync(join(deploy, file), 'utf8')).toMatch(/MALLOC_ARENA_MAX(?:=2$|: "2"\})/m)
    },
  )
})

describe('the unit for systemd', () => {
  const unit = join(deploy, 'systemd', 'iron-proxy.service')

  it.skipIf(!have('systemd-analyze'))('is one, and is hardened (skipped without systemd-analyze)', async () => {
    const done = await run('systemd-analyze', ['verify', unit])
    // It is not installed here: that, and nothing else, may be said.
    expect(done.stderr.split('\n').filter((line) => line !== '' && !line.includes('is not executable'))).toEqual([])
    const judged = await run('systemd-analyze', ['security', '--offline=yes', unit])
    expect(Number(/exposure level for \S+: ([\d.]+)/.exec(judged.stdout)?.[1])).toBeLessThan(2)
  })

  it('has settings that load', async () => {
    const { settings, issues } = await loadSettings({ file: join(deploy, 'systemd', 'iron-proxy.yaml'), env: {}, flags: {} })
    expect(issues).toEqual([])
    const stopTimeout = Number(/^TimeoutStopSec=(\d+)s$/m.exec(readFileSync(unit, 'utf8'))?.[1])
    expect(stopTimeout).toBeGreaterThan((settings?.shutdown.lameDuck ?? 0) + (settings?.shutdown.deadline ?? 0) + 10)
  })
})

describe('the release', () => {
  const folder = join(top, '.github', 'workflows')
  interface Workflow {
    readonly permissions: object
    readonly jobs: Readonly<Record<string, { readonly steps: readonly { readonly uses?: string; readonly run?: string }[] }>>
  }
  const workflow = yamlOf('.github/workflows/release.yaml') as Workflow
  const steps = Object.values(workflow.jobs).flatMap(({ steps: own }) => own)

  it('names every action by its commit', () => {
    const used = steps.flatMap(({ uses }) => (uses === undefined ? [] : [uses]))
    expect(used.length).toBeGreaterThan(5)
    expect(used.filter((uses) => !/^[\w-]+\/[\w-]+@[0-9a-f]{40}$/.test(uses))).toEqual([])
  })

  it('may write nothing that a job does not ask for, and puts nothing of outside into a script', () => {
    expect(workflow.permissions).toEqual({ contents: 'read' })
    expect(steps.filter(({ run: script }) => script?.includes('${{'))).toEqual([])
  })

  it('makes the image and the chart of the proxy and of agents', () => {
    const { include } = (workflow.jobs['image'] as unknown as { strategy: { matrix: { include: readonly object[] } } }).strategy
      .matrix
    expect(include).toEqual([
      { image: 'iron-proxy', file: 'deploy/Dockerfile' },
      { image: 'iron-proxy-agent', file: 'deploy/agent/Dockerfile' },
    ])
    expect(steps.some(({ run: script }) => script?.includes('helm package deploy/helm/iron-proxy deploy/agent/helm'))).toBe(true)
  })

  it.each([
    ['tag', 'v1.2.3', ['v1.2.3', 'v1.2', 'v1', 'latest']],
    ['branch', 'main', ['main', 'sha-0123456']],
  ])('of a %s has its tags', async (kind, ref, tags) => {
    const script = steps.find(({ run: each }) => each?.includes('tags<<END'))?.run ?? ''
    const folderOfOutput = mkdtempSync(join(tmpdir(), 'release-'))
    const output = join(folderOfOutput, 'output')
    const env = {
      OWNER: 'Crew',
      IMAGE: 'iron-proxy',
      FILE: '/dev/null',
      KIND: kind,
      REF: ref,
      SHA: '0123456789abcdef',
      GITHUB_OUTPUT: output,
    }
    await run('bash', ['-eo', 'pipefail', '-c', script], { env })
    const written = readFileSync(output, 'utf8')
    rmSync(folderOfOutput, { recursive: true })
    expect(written.split('\n').filter((line) => line.startsWith('ghcr.io/crew/iron-proxy:'))).toEqual(
      tags.map((tag) => `ghcr.io/crew/iron-proxy:${tag}`),
    )
  })

  it('signs by digest, image and chart', () => {
    const signed = steps.flatMap(({ run: script }) => script?.match(/cosign sign --yes \S+/g) ?? [])
    expect(signed).toEqual(['cosign sign --yes "$IMAGE"', 'cosign sign --yes "$registry/$chart@$digest"'])
    expect(readFileSync(join(folder, 'release.yaml'), 'utf8')).toMatch(/IMAGE: "[^"]*@\$\{\{ steps\.build\.outputs\.digest \}\}"/)
  })

  it('finds the image of the overlays where it puts its own', () => {
    const { version } = JSON.parse(readFileSync(join(top, 'package.json'), 'utf8')) as { version: string }
    for (const overlay of ['single', 'ha'])
      expect(readFileSync(join(deploy, 'kustomize', 'overlays', overlay, 'kustomization.yaml'), 'utf8')).toContain(
        `newName: registry.example.com/iron-proxy, newTag: ${version}}`,
      )
  })

  it.skipIf(!have('actionlint'))('passes actionlint (skipped without it)', async () => {
    await outputOf('actionlint', [join(folder, 'release.yaml')])
  })
})

describe('every shell script', () => {
  const scripts = ['.ci/run', ...below('deploy')].filter((file) => file === '.ci/run' || file.endsWith('.sh'))
  it.skipIf(!have('shellcheck')).each(scripts)('%s passes shellcheck (skipped without it)', async (script) => {
    expect(await outputOf('shellcheck', [join(top, script)])).toBe('')
  })
})

function below(folder: string): readonly string[] {
  if (!existsSync(join(top, folder))) return []
  return readdirSync(join(top, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(top, join(entry.parentPath, entry.name)))
}
