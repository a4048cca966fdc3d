import { randomBytes } from 'node:crypto'
import { expect, it } from 'vitest'
import { newLeafKey } from '#ca/leaf.ts'
import { settingsSchema } from '#config/settings-schema.ts'
import { Member } from '#workers/member.ts'
import type { MainSide, World } from '#workers/sides.ts'
import { ManualClock } from '../kit/clock.ts'
import { within } from '../kit/within.ts'

const { upstream, listen, advertise } = settingsSchema.parse({})
const errand = {
  upstream: { ...upstream, allowPrivate: [] },
  listen,
  advertise,
  extraRoots: [],
  leafKey: newLeafKey(),
  ticketKeys: randomBytes(48),
  workers: 2,
}

/** A member whose thread is told of a world that makes no sense, which ends it. */
function stage() {
  const clock = new ManualClock()
  const said: string[] = []
  let restarts = 0
  const member = new Member({
    index: 1,
    errand,
    clock,
    say: (_level, _fields, message) => said.push(message),
    side: () => ({}) as MainSide,
    world: () => ({}) as World,
    changed: () => {},
    restarted: () => (restarts += 1),
    stopping: () => false,
  })
  return { clock, member, said, restarts: () => restarts }
}

it('a thread that never served is told of to whoever wanted it, and is not started again', async () => {
  const { clock, member, said, restarts } = stage()
  await expect(member.start()).rejects.toThrow()
  expect(member.up).toBe(false)
  await member.close()
  expect(await within(() => member.line === undefined)).toBeDefined()
  clock.advance(60_000)
  expect([restarts(), said.filter((each) => each.includes('started again'))]).toEqual([0, []])
})
