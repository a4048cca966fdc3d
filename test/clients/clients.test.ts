/** Every client, through both doors, in each state: what a person sees, and how soon it stops. Writes the table of README.md. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { clients } from './index.ts'
import { installed as readInstalled } from './install.ts'
import { goal, writeTable } from './report.ts'
import type { Row } from './report.ts'
import { startStage } from './stage.ts'
import type { Stage } from './stage.ts'
import { states } from './types.ts'
import type { Door } from './types.ts'

const address = process.env['IRON_PROXY_CLIENTS_ADDRESS']
/** Ids with commas between; left out: all, and the table is written. */
const only = process.env['IRON_PROXY_CLIENTS_ONLY']?.split(',')
const installed = readInstalled()
const doors: readonly Door[] = ['explicit', 'transparent']
const rows: Row[] = []

let stage: Stage
beforeAll(async () => {
  if (address === undefined) throw new Error('`npm run test:clients` runs this in a namespace of its own')
  stage = await startStage(address)
})
afterAll(async () => {
  await stage[Symbol.asyncDispose]()
  if (only) return
  const place = (row: Row) => clients.indexOf(row.client) * 100 + doors.indexOf(row.door) * 10 + states.indexOf(row.state)
  writeTable(
    rows.toSorted((one, other) => place(one) - place(other)),
    installed,
  )
})

describe.each(states)('%s', (state) => {
  beforeAll(() => stage.enter(state))

  const all = clients.filter(({ id }) => only?.includes(id) ?? true)
  describe.each(doors)('through the %s door', (door) => {
    for (const client of all) {
      const why = client.missing(installed) ?? client.without[state]
      const named = `${client.id}${why === undefined ? '' : `: ${why}`}`
      if (why !== undefined) rows.push({ client, door, state, result: why })
      test.skipIf(why !== undefined)(named, async () => {
        const seen = await stage.observe(client, door, state, installed)
        rows.push({ client, door, state, result: seen })
        if (only) process.stderr.write(`${client.id}, ${door}, ${state}: ${JSON.stringify(seen)}\n`)
        if (state === 'normal' || state === 'refresh') return expect(seen).toMatchObject({ served: true })
        expect(seen.served).toBe(false)
        if (client.shows !== 'body' || client.misses?.[state] !== undefined) return undefined
        expect(seen).toMatchObject({ shown: true })
        expect(seen.requests, seen.saw).toBeLessThanOrEqual(goal.requests)
        return expect(seen.seconds, seen.saw).toBeLessThanOrEqual(goal.seconds)
      })
    }
  })
})
