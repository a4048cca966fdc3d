import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { makeRig, missing, type Rig } from './rig.ts'

let rig: Rig

beforeEach(async () => {
  rig = await makeRig()
})

afterEach(async () => {
  await rig[Symbol.asyncDispose]()
})

const skip = missing.length > 0
const because = skip ? ` (skipped: no ${missing.join(', ')})` : ''

describe.skipIf(skip)(`reconcile-plugins.sh${because}`, () => {
  const settings = {
    extraKnownMarketplaces: {
      crew: { source: { source: 'github', repo: 'crew/plugins' } },
      far: { source: { source: 'git', url: 'https://far.example/x.git' } },
    },
    enabledPlugins: { 'matrix@crew': true, 'pinned@crew': { version: '1' }, 'off@crew': false, 'lost@far': true },
  }
  const called = (): readonly string[] => readFileSync(join(rig.folder, 'called'), 'utf8').trim().split('\n')

  async function reconcile(fails = 'nothing'): Promise<string> {
    await rig.write('home/.claude/settings.json', JSON.stringify(settings))
    await rig.fake('claude', `echo "$*" >>"${rig.folder}/called"; case "$*" in ${fails}) echo "it is down" >&2; exit 1 ;; esac`)
    const done = await rig.script('reconcile-plugins.sh')
    expect(done.code).toBe(0)
    return done.stderr
  }

  test('adds and updates each marketplace, and installs each plugin that is on anew', async () => {
    expect(await reconcile()).not.toContain('WARN')
    expect(called()).toEqual([
      'plugin marketplace add crew/plugins',
      'plugin marketplace update crew',
      'plugin marketplace add https://far.example/x.git',
      'plugin marketplace update far',
      'plugin uninstall matrix@crew',
      'plugin install matrix@crew',
      'plugin uninstall pinned@crew',
      'plugin install pinned@crew',
      'plugin uninstall lost@far',
      'plugin install lost@far',
    ])
  })

  test('keeps the plugins of a marketplace that cannot be reached, and goes on with the others', async () => {
    const words = await reconcile('*"update far"')
    expect(words).toContain('marketplace far (https://far.example/x.git) failed: it is down')
    expect(words).toContain('lost@far stays as it is')
    expect(called()).not.toContain('plugin uninstall lost@far')
    expect(called()).toContain('plugin install pinned@crew')
  })

  test('says which plugin could not be installed', async () => {
    expect(await reconcile('*"install matrix@crew"')).toContain('WARN: plugin matrix@crew failed: it is down')
    expect(called()).toContain('plugin install pinned@crew')
  })

  test.each([
    ['no settings', undefined, ''],
    ['settings that are not JSON', '{', 'is not JSON'],
  ])('leaves all as it is with %s', async (_case, text, words) => {
    if (text !== undefined) await rig.write('home/.claude/settings.json', text)
    await rig.fake('claude', `echo "$*" >>"${rig.folder}/called"`)
    const done = await rig.script('reconcile-plugins.sh')
    expect(done.code).toBe(0)
    expect(done.stderr).toContain(words)
    expect(existsSync(join(rig.folder, 'called'))).toBe(false)
  })
})
