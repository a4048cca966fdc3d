import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compileBudget, runBudget } from '#metering/compile.ts'
import { localTime, windowAt, windowOf } from '#metering/window.ts'

const hour = 3_600_000
const at = (text: string): number => Date.parse(text)

describe('a window', () => {
  it.each([
    // zone, kind, a moment in it, start, end
    ['UTC', 'day', '2026-11-21T13:00:00Z', '2026-11-21T00:00:00Z', '2026-11-22T00:00:00Z'],
    ['UTC', 'hour', '2026-11-21T13:59:59.999Z', '2026-11-21T13:00:00Z', '2026-11-21T14:00:00Z'],
    ['UTC', 'week', '2026-11-22T23:59:59Z', '2026-11-16T00:00:00Z', '2026-11-23T00:00:00Z'],
    ['UTC', 'week', '2026-11-23T00:00:00Z', '2026-11-23T00:00:00Z', '2026-11-30T00:00:00Z'],
    ['UTC', 'month', '2026-12-31T23:59:59Z', '2026-12-01T00:00:00Z', '2027-01-01T00:00:00Z'],
    // A leap day, and the month that holds it.
    ['UTC', 'day', '2028-02-29T12:00:00Z', '2028-02-29T00:00:00Z', '2028-03-01T00:00:00Z'],
    ['UTC', 'month', '2028-02-29T12:00:00Z', '2028-02-01T00:00:00Z', '2028-03-01T00:00:00Z'],
    // Clocks go forward: 23 hours. Back: 25.
    ['Europe/Berlin', 'day', '2026-03-29T12:00:00Z', '2026-03-28T23:00:00Z', '2026-03-29T22:00:00Z'],
    ['Europe/Berlin', 'day', '2026-10-25T12:00:00Z', '2026-10-24T22:00:00Z', '2026-10-25T23:00:00Z'],
    ['America/New_York', 'day', '2026-03-08T12:00:00Z', '2026-03-08T05:00:00Z', '2026-03-09T04:00:00Z'],
    ['America/New_York', 'day', '2026-11-01T12:00:00Z', '2026-11-01T04:00:00Z', '2026-11-02T05:00:00Z'],
    ['America/New_York', 'week', '2026-11-01T12:00:00Z', '2026-10-26T04:00:00Z', '2026-11-02T05:00:00Z'],
    ['America/New_York', 'month', '2026-11-15T12:00:00Z', '2026-11-01T04:00:00Z', '2026-12-01T05:00:00Z'],
    // Half an hour of change, at the other end of the year.
    ['Australia/Lord_Howe', 'day', '2026-10-04T01:00:00Z', '2026-10-03T13:30:00Z', '2026-10-04T13:00:00Z'],
    // Midnight itself is skipped: the day begins at one.
    ['Africa/Cairo', 'day', '2026-04-24T12:00:00Z', '2026-04-23T22:00:00Z', '2026-04-24T21:00:00Z'],
    // Far from UTC, and off the full hour.
    ['Pacific/Kiritimati', 'day', '2026-11-21T09:59:59Z', '2026-11-20T10:00:00Z', '2026-11-21T10:00:00Z'],
    ['Asia/Kathmandu', 'hour', '2026-11-21T13:20:00Z', '2026-11-21T13:15:00Z', '2026-11-21T14:15:00Z'],
  ] as const)('in %s of a %s that holds %s begins at %s and ends at %s', (zone, kind, moment, start, end) => {
    expect(windowAt(kind, zone, at(moment))).toEqual({ start: at(start), end: at(end) })
  })

  it('holds the moment it was asked for, and is the same for every other moment in it', () => {
    const zones = [
      'UTC',
      'Europe/Berlin',
      'America/New_York',
      'Australia/Lord_Howe',
      'Africa/Cairo',
      'Asia/Kathmandu',
      'Pacific/Apia',
    ]
    fc.assert(
      fc.property(
        fc.constantFrom(...zones),
        fc.constantFrom('hour', 'day', 'week', 'month'),
        fc.integer({ min: at('2020-01-01T00:00:00Z'), max: at('2035-01-01T00:00:00Z') }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (zone, kind, time, share) => {
          const window = windowAt(kind, zone, time)
          expect(window.start).toBeLessThanOrEqual(time)
          expect(window.end).toBeGreaterThan(time)
          const inside = Math.min(window.end - 1, window.start + Math.floor((window.end - window.start) * share))
          expect(windowAt(kind, zone, inside)).toEqual(window)
          expect(windowAt(kind, zone, window.end).start).toBe(window.end)
        },
      ),
      { numRuns: 400 },
    )
  })

  it('of a day is never shorter than 22 hours or longer than 26', () => {
    for (let time = at('2026-01-01T00:00:00Z'); time < at('2027-01-01T00:00:00Z'); time += 24 * hour) {
      for (const zone of ['Europe/Berlin', 'America/New_York', 'Africa/Cairo', 'Australia/Lord_Howe']) {
        const { start, end } = windowAt('day', zone, time)
        expect(end - start).toBeGreaterThanOrEqual(22 * hour)
        expect(end - start).toBeLessThanOrEqual(26 * hour)
      }
    }
  })
})

describe('a local time', () => {
  it.each([
    ['UTC', '2026-11-22T00:00:00Z', '2026-11-22T00:00:00Z'],
    ['Europe/Berlin', '2026-11-21T23:00:00Z', '2026-11-22T00:00:00+01:00'],
    ['America/New_York', '2026-07-01T04:00:00Z', '2026-07-01T00:00:00-04:00'],
    ['Asia/Kathmandu', '2026-11-21T18:15:00Z', '2026-11-22T00:00:00+05:45'],
  ])('in %s of %s reads %s', (zone, moment, text) => {
    expect(localTime(zone, at(moment))).toBe(text)
  })
})

describe('the window of a budget', () => {
  it('is that of the calendar, and for a run the run itself, whenever it is asked for', () => {
    const text = {
      per: 'agent',
      window: 'day',
      timezone: 'UTC',
      warnAt: [],
      atLimit: 'cut',
      whenBlind: 'refuse',
      weights: {},
    } as const
    const now = at('2026-11-21T13:00:00Z')
    expect(windowOf(compileBudget('day', text), now)).toEqual(windowAt('day', 'UTC', now))
    const span = { start: now, end: now + hour }
    const budget = runBudget('R1', { usd: 2 }, span)
    expect(budget).toMatchObject({ id: 'run:R1', window: 'run', nano: 2e9, tokens: undefined, atLimit: 'cut' })
    for (const moment of [now - 1, now, now + 400 * 24 * hour]) expect(windowOf(budget, moment)).toEqual(span)
  })
})
