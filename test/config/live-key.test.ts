import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { findLiveKeys, liveKey } from '#config/live-key.ts'
import { formatIssue } from '#config/issue.ts'
import { loadText } from '../kit/policy.ts'

const random = randomBytes(48).toString('hex')

describe('a value that looks like a live key', () => {
  it.each([
    [`sk-ant-api03-${random}`, 'an Anthropic key'],
    [`sk-proj-${random}`, 'an API key'],
    [`ghp_${random.slice(0, 36)}`, 'a GitHub token'],
    [`github_pat_${random}`, 'a GitHub token'],
    [`glpat-${random.slice(0, 20)}`, 'a GitLab token'],
    [`xoxb-${random}`, 'a Slack token'],
    [`Bearer ghp_${random.slice(0, 36)}`, 'a GitHub token'],
    [['-----BEGIN', 'PRIVATE', 'KEY-----'].join(' '), 'a private key'],
  ])('%# is recognised', (value, kind) => {
    expect(liveKey(value)).toBe(kind)
  })

  it.each([
    'sk-ant-stub',
    `sk-stub-${random}`,
    'proxy-token-github',
    'ghp_short',
    'access-token-stub',
    'api.example.com',
    // The id of an AWS key is no secret, and stands beside the reference to it.
    `AKIA${random.slice(0, 16).toUpperCase()}`,
    random,
  ])('%s is not one', (value) => {
    expect(liveKey(value)).toBeUndefined()
  })

  it('is found wherever it stands', () => {
    const key = `ghp_${random.slice(0, 36)}`
    expect(findLiveKeys({ a: [{ b: key }], c: 1, d: null })).toEqual([{ path: ['a', 0, 'b'], looksLike: 'a GitHub token' }])
  })

  it.each([
    ['secret', (key: string) => `credentials: {c: {kind: bearer, stub: stub-number-1, secret: ${key}, hosts: [x.test]}}`],
    ['stub', (key: string) => `credentials: {c: {kind: bearer, stub: ${key}, secret: {env: X}, hosts: [x.test]}}`],
    ['kind', (key: string) => `credentials: {c: {kind: ${key}}}`],
    ['host', (key: string) => `rules: [{id: r, hosts: ["${key}:1"]}]`],
  ])('stops the policy and is not repeated in the message (%s)', async (_, write) => {
    const key = `ghp_${random.slice(0, 36)}`
    const { snapshot, issues } = await loadText(write(key))
    const text = issues.map(formatIssue).join('\n')
    expect(snapshot).toBeUndefined()
    expect(text).toContain('this looks like a GitHub token; a policy never holds a secret')
    expect(text).not.toContain(key)
  })
})
