import { expect, it } from 'vitest'
import { LiveSet } from '#journey/live.ts'
import type { LiveEntry } from '#journey/ports.ts'
import { snapshotOf } from '../kit/policy.ts'

it('what runs long is asked again, and cut where the new policy refuses it; what ended meanwhile is not', async () => {
  const snapshot = await snapshotOf('rules: [{id: r, hosts: [good.test]}]')
  const live = new LiveSet()
  const cut: string[] = []
  const entry = (name: string, denied: boolean): LiveEntry => ({
    run: () => undefined,
    redecide: () => (denied ? { kind: 'deny', code: 'host_denied', reason: name } : undefined),
    cut: (by, denial) => void cut.push(`${name} ${by} ${denial?.reason ?? ''}`),
  })
  live.enter(entry('kept', false))
  live.enter(entry('cut', true))
  const leave = live.enter(entry('ended', true))
  const before = live.present()
  live.enter(entry('newer', true))
  leave()
  live.redecide(before, snapshot)
  expect(cut).toEqual(['cut policy cut'])
  expect(live.size).toBe(3)
  live.cutAll()
  expect(cut.slice(1)).toEqual(['kept shutdown ', 'cut shutdown ', 'newer shutdown '])
})

it('a run that ends cuts what is its own, and then closes what is tied to it', () => {
  const live = new LiveSet()
  const done: string[] = []
  const entry = (run: string | undefined, name: string): LiveEntry => ({
    run: () => run,
    redecide: () => undefined,
    cut: (by, denial) => void done.push(`${name} ${by} ${denial?.reason ?? ''}`),
  })
  live.tie('one', () => void done.push('closed one'))
  live.tie('two', () => void done.push('closed two'))
  const untie = live.tie('one', () => void done.push('closed before'))
  untie()
  for (const [run, name] of [
    ['one', 'a'],
    [undefined, 'b'],
    ['two', 'c'],
    ['one', 'd'],
  ] as const)
    live.enter(entry(run, name))
  live.endRun('one', { kind: 'deny', code: 'policy_changed', reason: 'over' })
  expect(done).toEqual(['a policy over', 'd policy over', 'closed one'])
  expect(live.size).toBe(4)
})
