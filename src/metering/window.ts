import type { Budget, CalendarWindow } from './types.ts'

/** Milliseconds since the epoch; the end is the start of the next one. */
export interface Window {
  readonly start: number
  readonly end: number
}

interface Fields {
  readonly year: number
  /** 1 to 12. */
  readonly month: number
  readonly day: number
  readonly hour: number
  readonly minute: number
  readonly second: number
}

/** The window of a budget that holds `time`; a run has only one. */
export function windowOf(budget: Budget, time: number): Window {
  return budget.window === 'run' ? budget.span : windowAt(budget.window, budget.timezone, time)
}

/**
 * The window of a kind that holds `time`, by the calendar of an IANA time zone: a day is from local midnight to local midnight,
 * 23 or 25 hours where the clocks change; a week begins on Monday (ISO 8601); an hour by the local clock, which is half past in
 * some zones.
 */
export function windowAt(kind: CalendarWindow, timezone: string, time: number): Window {
  const key = `${kind} ${timezone}`
  const last = latest.get(key)
  if (last && time >= last.start && time < last.end) return last
  const window = reckon(kind, timezone, time)
  latest.set(key, window)
  return window
}

// Asking a calendar costs 10 µs a question, each request asks several times, and the answer changes once an hour at most.
const latest = new Map<string, Window>()

function reckon(kind: CalendarWindow, timezone: string, time: number): Window {
  const now = fieldsAt(timezone, time)
  switch (kind) {
    case 'hour': {
      const start = Math.floor(time / 1000) * 1000 - (now.minute * 60 + now.second) * 1000
      return { start, end: start + 3_600_000 }
    }
    case 'day':
      return { start: midnight(timezone, now, 0), end: midnight(timezone, now, 1) }
    case 'week': {
      // getUTCDay counts from Sunday.
      const sinceMonday = (new Date(Date.UTC(now.year, now.month - 1, now.day)).getUTCDay() + 6) % 7
      return { start: midnight(timezone, now, -sinceMonday), end: midnight(timezone, now, 7 - sinceMonday) }
    }
    case 'month': {
      const first = { ...now, day: 1 }
      return { start: midnight(timezone, first, 0), end: midnight(timezone, { ...first, month: now.month + 1 }, 0) }
    }
    default:
      return kind satisfies never
  }
}

/** The moment as a person in that zone writes it, with its offset (RFC 3339). */
export function localTime(timezone: string, time: number): string {
  const offset = offsetAt(timezone, time)
  const minutes = Math.abs(offset) / 60_000
  const sign = offset < 0 ? '-' : '+'
  const text = new Date(time + offset).toISOString().slice(0, 19)
  return `${text}${offset === 0 ? 'Z' : `${sign}${two(Math.trunc(minutes / 60))}:${two(Math.trunc(minutes % 60))}`}`
}

function two(value: number): string {
  return String(value).padStart(2, '0')
}

/** The first moment of a local date, so many days on: where midnight is skipped, the moment the clocks go forward. */
function midnight(timezone: string, { year, month, day }: Pick<Fields, 'year' | 'month' | 'day'>, later: number): number {
  const local = Date.UTC(year, month - 1, day + later)
  // No zone is further than a day from UTC, and none changes its clocks twice in two days.
  const before = local - offsetAt(timezone, local - 86_400_000)
  const after = local - offsetAt(timezone, local + 86_400_000)
  const exact = [before, after].filter((time) => time + offsetAt(timezone, time) === local)
  return exact.length > 0 ? Math.min(...exact) : before
}

/** What local clocks are ahead of UTC, in milliseconds. */
function offsetAt(timezone: string, time: number): number {
  const { year, month, day, hour, minute, second } = fieldsAt(timezone, time)
  return Date.UTC(year, month - 1, day, hour, minute, second) - Math.floor(time / 1000) * 1000
}

// Building one costs a hundred times what asking it does; zones come from the policy and are few.
const formats = new Map<string, Intl.DateTimeFormat>()

function fieldsAt(timezone: string, time: number): Fields {
  let format = formats.get(timezone)
  if (!format) {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone: timezone,
      calendar: 'gregory',
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    })
    formats.set(timezone, format)
  }
  const fields: Record<string, number> = {}
  for (const { type, value } of format.formatToParts(time)) fields[type] = Number(value)
  const { year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0 } = fields
  return { year, month, day, hour, minute, second }
}
