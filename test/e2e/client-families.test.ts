/** One client of each family of `test/clients`, as far as it is here without a registry: the same states, through the explicit door. */
import { execPath } from 'node:process'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { clients } from '../clients/index.ts'
import { goal } from '../clients/report.ts'
import { startStage } from '../clients/stage.ts'
import type { Stage } from '../clients/stage.ts'
import type { Installed } from '../clients/types.ts'
import { have } from '../kit/clients.ts'

/** Packages that the tests have anyway. */
const ours: Installed = {
  bin: (name) => join(process.cwd(), 'node_modules/.bin', name),
  modules: process.cwd(),
  python: have('python3') ? 'python3' : execPath,
  versions: { 'npm:@anthropic-ai/sdk': '1', 'npm:openai': '1', 'npm:@google/genai': '1', 'npm:undici': '1' },
}
const family = new Set([
  'curl',
  'git',
  'gh',
  'urllib',
  'Node fetch',
  'Node undici',
  'anthropic (JS)',
  'openai (JS)',
  '@google/genai (JS)',
])
const chosen = clients.filter(({ id }) => family.has(id))

let stage: Stage
beforeAll(async () => {
  stage = await startStage()
})
afterAll(() => stage[Symbol.asyncDispose]())

describe.each(['normal', 'denied', 'budget', 'ended'] as const)('%s', (state) => {
  beforeAll(() => stage.enter(state))

  for (const client of chosen) {
    const why = client.missing(ours) ?? client.without[state]
    test.skipIf(why !== undefined)(why === undefined ? client.id : `${client.id}: ${why}`, async () => {
      const seen = await stage.observe(client, 'explicit', state, ours)
      if (state === 'normal') return expect(seen).toMatchObject({ served: true })
      expect(seen).toMatchObject({ served: false, shown: true })
      expect(seen.requests, seen.saw).toBeLessThanOrEqual(goal.requests)
      return expect(seen.seconds, seen.saw).toBeLessThanOrEqual(goal.seconds)
    })
  }
})
