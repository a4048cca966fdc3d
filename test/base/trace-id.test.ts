import { expect, it } from 'vitest'
import { traceIdOf } from '#base/trace-id.ts'

const trace = '4bf92f3577b34da6a3ce929d0e0e4736'

// Cases of W3C Trace Context, sections 3.2 and 4.3.
it.each([
  [`00-${trace}-00f067aa0ba902b7-01`, trace],
  [`00-${trace}-00f067aa0ba902b7-00`, trace],
  [`cc-${trace}-00f067aa0ba902b7-01`, trace],
  [`cc-${trace}-00f067aa0ba902b7-01-what-comes-later`, trace],
  [`cc-${trace}-00f067aa0ba902b7-01.what`, ''],
  [`00-${trace}-00f067aa0ba902b7-01-more`, ''],
  [`ff-${trace}-00f067aa0ba902b7-01`, ''],
  [`00-${'0'.repeat(32)}-00f067aa0ba902b7-01`, ''],
  [`00-${trace}-${'0'.repeat(16)}-01`, ''],
  [`00-${trace.toUpperCase()}-00f067aa0ba902b7-01`, ''],
  [`00-${trace.slice(1)}-00f067aa0ba902b7-01`, ''],
  [`00-${trace}-00f067aa0ba902b7`, ''],
  ['', ''],
])('of %j is %j', (value, id) => expect(traceIdOf(value)).toBe(id))
