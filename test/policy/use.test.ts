import { describe, expect, it } from 'vitest'
import { useOf } from '#policy/use.ts'
import { snapshotOf } from '../kit/policy.ts'

async function used(...rules: readonly string[]): Promise<string> {
  const { policy, credentials } = await snapshotOf(`
agents: {one: {from: [{cidr: 127.0.0.1}]}, two: {from: [{cidr: 127.0.0.2}]}}
credentials: {c: {kind: bearer, stub: stub-of-tests, secret: {env: TOKEN}, hosts: [good.test], agents: [one]}}
rules: [${rules.map((rule, index) => `{id: r${index}, hosts: [good.test], ${rule}}`).join(', ')}]`)
  const credential = credentials.get('c')
  return credential ? useOf(policy.rules, credential) : 'no credential'
}

describe('how much of a credential the rules let agents use', () => {
  it.each([
    ['none', []],
    ['none', ['methods: [POST]']],
    ['none', ['agents: [two], credentials: [c]']],
    ['reads', ['methods: [GET, HEAD], credentials: [c]']],
    ['reads', ['git: {fetch: ["*/*"]}, credentials: [c]']],
    ['writes', ['git: {fetch: ["*/*"], push: [a/b]}, credentials: [c]']],
    ['writes', ['paths: [/repos/a/b/**], credentials: [c]']],
    ['all', ['credentials: [c]']],
    ['all', ['paths: [/**], methods: [GET, POST], credentials: [c]']],
    ['writes', ['methods: [GET], credentials: [c]', 'paths: [/gists], methods: [POST], credentials: [c]']],
  ])('is %s with %j', async (use, rules) => {
    expect(await used(...rules)).toBe(use)
  })
})
