import { describe, expect, it } from 'vitest'
import { agentsOfPod, namespacesOf } from '#policy/pods.ts'
import { snapshotOf } from '../kit/policy.ts'

const policy = `
agents:
  one: {from: [{pod: {namespace: b, labels: {x: "1"}}}, {pod: {namespace: a}}]}
  two: {from: [{pod: {namespace: b, labels: {x: "1"}, serviceAccount: two}}]}
  far: {from: [{cidr: 10.0.0.1}]}
`
const pod = { uid: '1', name: 'p', namespace: 'b', labels: { x: '1' }, serviceAccount: 'two' }

describe('the selectors of a policy', () => {
  it('name the namespaces to watch, each once', async () => {
    expect(namespacesOf((await snapshotOf(policy)).policy)).toEqual(['a', 'b'])
  })

  it.each([
    ['both that match', pod, ['one', 'two']],
    ['only those whose ServiceAccount it has', { ...pod, serviceAccount: 'default' }, ['one']],
    ['only those whose labels it has', { ...pod, labels: { x: '2' } }, []],
    ['one that asks for no label', { ...pod, namespace: 'a', labels: {} }, ['one']],
    ['none elsewhere', { ...pod, namespace: 'c' }, []],
  ])('make a pod %s', async (_, given, expected) => {
    expect(agentsOfPod((await snapshotOf(policy)).policy, given).map(({ id }) => id)).toEqual(expected)
  })
})
