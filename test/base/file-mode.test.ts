import { expect, test } from 'vitest'
import { openToOthers } from '#base/file-mode.ts'

const us = 1000
const someoneElse = 0

test.each([
  ['ours, for us alone', 0o100600, us, us, undefined],
  ['ours, read-only', 0o100400, us, us, undefined],
  ['ours, readable by the group', 0o100640, us, us, '0640'],
  ['ours, readable by all', 0o100604, us, us, '0604'],
  ['another’s, readable by the group', 0o100440, someoneElse, us, undefined],
  ['another’s, writable by the group', 0o100460, someoneElse, us, '0460'],
  ['another’s, readable by all', 0o100444, someoneElse, us, '0444'],
  ['another’s, and we do not know who we are', 0o100440, someoneElse, undefined, '0440'],
])('a file that is %s', (_case, mode, uid, ourUid, shown) => {
  expect(openToOthers({ mode, uid }, ourUid)).toBe(shown)
})
