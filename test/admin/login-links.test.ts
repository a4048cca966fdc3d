import { describe, expect, it } from 'vitest'
import { LoginLinks } from '#admin/login-links.ts'
import { ManualClock } from '../kit/clock.ts'

const minute = 60_000

function stage() {
  const clock = new ManualClock()
  return { clock, links: new LoginLinks(clock) }
}

describe('a link to the login page', () => {
  it('leads to its login until it has done its work', () => {
    const { links } = stage()
    const token = links.issue('claude', 'https://login.test/')
    expect(links.find(token)).toMatchObject({ credential: 'claude', url: 'https://login.test/' })
    expect(links.find(token)).not.toBe('unknown')
    links.end(token)
    expect(links.find(token)).toBe('unknown')
  })

  it('ends after ten minutes', () => {
    const { clock, links } = stage()
    const token = links.issue('claude', 'https://login.test/')
    clock.advance(10 * minute - 1)
    expect(links.find(token)).toMatchObject({ credential: 'claude' })
    clock.advance(1)
    expect(links.find(token)).toBe('unknown')
  })

  it('ends when there is another to the same credential, and no other', () => {
    const { links } = stage()
    const [first, other] = [links.issue('claude', 'a'), links.issue('codex', 'b')]
    const second = links.issue('claude', 'c')
    expect(new Set([first, second, other]).size).toBe(3)
    expect(links.find(first)).toBe('unknown')
    expect(links.find(second)).toMatchObject({ url: 'c' })
    expect(links.find(other)).toMatchObject({ url: 'b' })
  })

  it('cannot be guessed: after twenty wrong ones nothing is looked up for the rest of the minute', () => {
    const { clock, links } = stage()
    const token = links.issue('claude', 'a')
    expect(token.length).toBeGreaterThanOrEqual(43)
    for (let tries = 0; tries < 20; tries += 1) expect(links.find(`${tries}`)).toBe('unknown')
    expect(links.find('x')).toBe('flooded')
    expect(links.find(token)).toBe('flooded')
    clock.advance(minute)
    expect(links.find(token)).toMatchObject({ credential: 'claude' })
  })
})
