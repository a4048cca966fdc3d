import { describe, expect, it } from 'vitest'
import { formatIssue } from '#config/issue.ts'
import { loadText } from '../kit/policy.ts'

const metered = 'rules: [{id: r, hosts: [api.anthropic.com], meter: anthropic}]'
const crew = 'budgets: {crew: {window: day, tokens: 0}}'
const agent = (budget: string) => `agents: {a: {from: [{cidr: 127.0.0.1}], budget: ${budget}}}`

async function said(...parts: readonly string[]): Promise<readonly string[]> {
  const { issues } = await loadText(parts.join('\n'))
  return issues.map((issue) => formatIssue(issue).replace(/^policies\/test\.yaml:\d+:\d+ /, ''))
}

describe('budgets and meters', () => {
  it('that fit each other are not spoken of', async () => {
    expect(await said(agent('crew'), metered, crew)).toEqual([])
    expect(await said(agent('crew'), metered.replace('anthropic}', 'auto}'), crew)).toEqual([])
  })

  it.each<[string, readonly string[], readonly string[]]>([
    ['a budget that does not exist', [agent('crew'), metered], ['agents.a.budget: no budget is called "crew"']],
    [
      'one of several that does not exist, or is there twice',
      [agent('[crew, team, crew]'), metered, crew],
      ['agents.a.budget: no budget is called "team"', 'agents.a.budget: "crew" stands in this list already'],
    ],
    [
      'a meter that does not exist',
      [agent('crew'), metered.replace('meter: anthropic', 'meter: antropic'), crew],
      [
        'rules[0].meter: no meter is called "antropic"; there is auto, anthropic, openai, codex, gemini, vertex, bedrock, azure-openai, openrouter, ollama, openai-compatible',
      ],
    ],
    ['a budget of nobody', [metered, crew], ['budgets.crew: warning: no agent names this budget, so it limits nothing']],
    [
      'budgets without a meter',
      [agent('crew'), 'rules: [{id: r, hosts: [x.test]}]', crew],
      ['budgets: warning: no rule has a meter, so nothing is ever charged to a budget'],
    ],
    [
      'a price without a meter',
      [metered.replace('meter: anthropic', 'price: {usd: 1}')],
      ['rules[0].price: a price is charged by a meter; name one, or remove this'],
    ],
    [
      'a price of nothing',
      [metered.replace('meter:', 'price: {}, meter:')],
      ['rules[0].price: name a price in usd, in tokens, or in both'],
    ],
  ])('are told of %s', async (_what, parts, expected) => {
    expect(await said(...parts)).toEqual(expected)
  })

  it.each([
    ['tokens: -1'],
    ['tokens: "10"'],
    ['tokens: 1.5'],
    ['tokens: null'],
    ['usd: -0.5'],
    ['usd: .inf'],
    ['timezone: Mars/Olympus'],
    ['window: fortnight'],
    ['warnAt: [1.5]'],
    ['weights: {input: -1}'],
    ['atLimit: explode'],
  ])('are refused with %s', async (wrong) => {
    const { snapshot } = await loadText(`${agent('crew')}\n${metered}\nbudgets: {crew: {window: day, ${wrong}}}`)
    expect(snapshot).toBeUndefined()
  })

  it('have prices for models, of which a name may end in a star and nothing else', async () => {
    const { snapshot } = await loadText(
      `${metered}\nprices: {"house-*": {input: 1, output: 2}, m: {input: 0, output: 0, cache_read: 1}}`,
    )
    expect(snapshot?.prices.get('house-*')).toEqual({ input: 1, output: 2 })
    expect(await said(metered, 'prices: {"a*b": {input: 1, output: 2}}')).toHaveLength(1)
    expect(await said(metered, 'prices: {m: {input: 1}}')).toHaveLength(1)
    expect(await said(metered, 'prices: {m: {}}')).toHaveLength(1)
  })

  it('may price a family like a model of the table, and nothing else beside', async () => {
    const { snapshot } = await loadText(`${metered}\nprices: {"gpt-99-*": {like: gpt-5}}`)
    expect(snapshot?.prices.get('gpt-99-*')).toEqual({ like: 'gpt-5' })
    const unknown = await said(metered, 'prices: {m: {like: nothing-anybody-sells}}')
    expect(unknown.join()).toContain('the built-in table has no price for "nothing-anybody-sells"')
    expect(await said(metered, 'prices: {m: {like: gpt-5, input: 1}}')).toHaveLength(1)
  })
})
