import { expect, it } from 'vitest'
import { filesBelow, textOf } from './sources.ts'

/** Rooms that every request, or every chunk of one, passes through. */
const hot = ['base', 'wire', 'policy', 'credentials', 'providers', 'metering', 'journey', 'listeners', 'upstream']

/** Once for a connection or less. */
const rare = new Set(['src/listeners/doors.ts'])

/**
 * V8 puts a function that is written straight into a member (`sink.onDrain = () => …`) into its old space at once, since it takes it
 * for a method. There it is dead with its request, and yet keeps all of that request alive until the next full collection; an object
 * literal with a getter does the same with its map. Both were measured: a quarter of all CPU time. Through a `const` they are young.
 */
it('no function is written straight into a member where requests pass', () => {
  const sources = hot.flatMap((room) => filesBelow(`src/${room}`, '.ts')).filter((file) => !rare.has(file))
  expect(sources.length).toBeGreaterThan(80)
  const found = sources.flatMap((file) => {
    const lines = textOf(file).split('\n')
    return lines.flatMap((line, i) => {
      const assigned = /^\s*[\w.#[\]]+\.#?\w+ (?:\?\?)?= (?:async )?(?:\([^()]*\)|\w+) =>/.test(line)
      // A getter that stands deeper than those of a class.
      const getter = /^ {4,}get \w+\(\)/.test(line)
      return assigned || getter ? [`${file}:${i + 1}: ${line.trim()}`] : []
    })
  })
  expect(found).toEqual([])
})
