import { describe, expect, it } from 'vitest'
import { foldedId, idOf, listedNames } from '#wire/names.ts'
import type { ListedName } from '#wire/names.ts'

const listed = listedNames.filter((name): name is ListedName => name !== '')

describe('the folded id', () => {
  it.each(listed)('of %s is its own in any case, with _ for -', (name) => {
    const id = idOf(name)
    for (const spelled of [
      name,
      name.toUpperCase(),
      name.replaceAll('-', '_'),
      name.replaceAll(/(^|-)./g, (each) => each.toUpperCase()),
    ])
      expect(foldedId(`: ${spelled}:`, 2, 2 + spelled.length)).toBe(id)
  })

  it.each(listed)('is 0 for what only resembles %s', (name) => {
    for (const other of [`${name}s`, name.slice(1), `x${name.slice(1)}`, `${name.slice(0, -1)}\x1f`, name.replace(/.$/, '\xe9')])
      if (!(listedNames as readonly string[]).includes(other)) expect(foldedId(other, 0, other.length), other).toBe(0)
  })
})
