import { describe, expect, it } from 'vitest'
import { readOptions } from '../../bench/options.ts'

const known = ['json', 'dns']

describe('the command line of the bench', () => {
  it('runs everything unless told', () => {
    expect(readOptions([], known)).toEqual({ names: [], smoke: false, write: false, contenders: [], only: [], rounds: 3 })
  })

  it('takes names, rounds and contenders', () => {
    const given = ['json', '--rounds', '5', '--contender', 'a.json', '--contender', 'b.json', '--only', 'nginx']
    expect(readOptions(given, known)).toMatchObject({
      names: ['json'],
      rounds: 5,
      contenders: ['a.json', 'b.json'],
      only: ['nginx'],
    })
  })

  it.each([
    [['jsno'], /there is no bench jsno; there is json, dns/],
    [['--write'], /--write goes with --smoke/],
    [['--smoke', 'json'], /leave the names out/],
    [['--rounds', '0'], /a number from 1 to 20/],
    [['--only', 'nginx'], /--only goes with the name/],
    [['--fast'], /--fast/],
  ])('refuses %j', (given, message) => {
    expect(() => readOptions(given, known)).toThrow(message)
  })
})
