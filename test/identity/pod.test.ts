import { describe, expect, it } from 'vitest'
import { readPod, versionOf } from '#identity/pod.ts'
import { podObject } from '../kit/kube.ts'

describe('an object of the API', () => {
  it('is read into what says who speaks', () => {
    const object = podObject(
      { uid: 'u', name: 'n', labels: { agent: 'a' }, serviceAccount: 's', ip: '10.0.0.1', hostIP: '10.9.0.1' },
      7,
    )
    expect(readPod(object)).toEqual({
      kind: 'placed',
      pod: { uid: 'u', name: 'n', namespace: 'agents', labels: { agent: 'a' }, serviceAccount: 's' },
      addresses: ['10.0.0.1'],
      node: ['10.9.0.1'],
    })
    expect(versionOf(object)).toBe('7')
  })

  it('has both its addresses where it has two', () => {
    const object = podObject({ uid: 'u', ip: '10.0.0.1' }, 1)
    Object.assign(object['status'] as object, { podIPs: [{ ip: '10.0.0.1' }, { ip: 'fd00::1' }, { ip: 'no address' }] })
    expect(readPod(object)).toMatchObject({ addresses: ['10.0.0.1', 'fd00::1'] })
  })

  it('has no address of its own on the network of its node, and none before it starts', () => {
    const host = podObject({ uid: 'u', hostNetwork: true, ip: '10.9.0.1', hostIP: '10.9.0.1' }, 1)
    expect(readPod(host)).toMatchObject({ addresses: [], node: ['10.9.0.1'] })
    expect(readPod(podObject({ uid: 'u', phase: 'Pending' }, 1))).toMatchObject({ addresses: [], node: [] })
  })

  it.each([
    ['Succeeded', { phase: 'Succeeded' }, 'gone'],
    ['Failed', { phase: 'Failed' }, 'gone'],
    ['being deleted with nothing that runs', { deleting: 'ended' as const }, 'gone'],
    ['being deleted, in its grace', { deleting: 'running' as const }, 'placed'],
    ['Unknown, as its node is silent', { phase: 'Unknown' }, 'placed'],
  ])('that is %s is %s', (_, given, kind) => {
    expect(readPod(podObject({ uid: 'u', ip: '10.0.0.1', ...given }, 1))?.kind).toBe(kind)
  })

  it.each([
    ['nothing', undefined],
    ['a text', 'pod'],
    ['a list', []],
    ['without metadata', { spec: {} }],
    ['with a uid that is a number', { metadata: { uid: 1, name: 'n', namespace: 'a' } }],
    ['without a namespace', { metadata: { uid: 'u', name: 'n' } }],
  ])('that is %s is no pod', (_, object) => {
    expect(readPod(object)).toBeUndefined()
  })

  it('with labels that are no texts keeps those that are', () => {
    const object = podObject({ uid: 'u' }, 1)
    Object.assign(object['metadata'] as object, { labels: { a: 'x', b: 1, c: null } })
    expect(readPod(object)).toMatchObject({ pod: { labels: { a: 'x' } } })
  })
})
