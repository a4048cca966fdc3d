import { Writable } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { createMetrics } from '#observe/metrics.ts'
import { AuditTrail } from '#observe/audit-trail.ts'
import { record } from './records.ts'

/** A stream that takes nothing until it is let go. */
function stuck() {
  const waiting: (() => void)[] = []
  let open = false
  const stream = new Writable({
    highWaterMark: 1,
    write: (_chunk, _encoding, done) => void (open ? done() : waiting.push(() => done())),
  })
  const letGo = (): void => {
    open = true
    for (const done of waiting.splice(0)) done()
  }
  return { stream, letGo }
}

function trailOf(whenFull: 'drop' | 'refuse' | undefined) {
  const { stream, letGo } = stuck()
  const said: string[] = []
  const metrics = createMetrics({ version: '0', revision: 'x', node: 'v' }, { runtime: false })
  const say = (_fields: object, message: string): void => void said.push(message)
  const trail = new AuditTrail({ stdout: true, whenFull }, stream, metrics, { info: say, error: say })
  /** Writes until that holds, or far more than the queue takes. */
  const writeUntil = (holds: () => boolean): void => {
    for (let i = 0; i < 200_000 && !holds(); i += 1) trail.write(record())
  }
  return { trail, letGo, writeUntil, said, metrics }
}

describe('a trail whose sink takes nothing', () => {
  it.each([['drop'], [undefined]] as const)(
    'loses what is too much with `%s`, says so once, and is well again after',
    async (whenFull) => {
      const { trail, letGo, writeUntil, said, metrics } = trailOf(whenFull)
      writeUntil(() => trail.dropping)
      expect([trail.dropping, trail.refuses]).toEqual([true, false])
      expect(said).toEqual(['stdout takes no records and the queue is full: records are lost'])
      expect(await metrics.text()).toMatch(/result="dropped"[^}]*\} [1-9]/)
      letGo()
      for (let turn = 0; turn < 200 && trail.dropping; turn += 1) await new Promise((resolve) => setTimeout(resolve, 5))
      expect(trail.dropping).toBe(false)
      expect(said.at(-1)).toBe('no audit record is lost any more')
      await trail.close()
    },
  )

  it('lets nothing begin with `refuse` before a record is lost', async () => {
    const { trail, letGo, writeUntil } = trailOf('refuse')
    expect(trail.refuses).toBe(false)
    writeUntil(() => trail.refuses)
    expect([trail.dropping, trail.refuses]).toEqual([false, true])
    letGo()
    for (let turn = 0; turn < 200 && trail.refuses; turn += 1) await new Promise((resolve) => setTimeout(resolve, 5))
    expect(trail.refuses).toBe(false)
    await trail.close()
  })
})
