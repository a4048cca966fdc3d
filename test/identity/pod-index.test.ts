import { expect, it } from 'vitest'
import { PodIndex } from '#identity/pod-index.ts'
import { readPod } from '#identity/pod.ts'
import type { PodReading } from '#identity/pod.ts'
import { addressOf } from '../journey/parts.ts'
import { podObject, type PodSpec } from '../kit/kube.ts'

const ip = '10.0.0.1'

function reading(spec: PodSpec): PodReading {
  const read = readPod(podObject(spec, 1))
  if (!read) throw new Error('no pod')
  return read
}

function started() {
  const moves: string[] = []
  const index = new PodIndex((address, before, after) => moves.push(`${address} ${before.kind} ${after.kind}`))
  const at = (address = ip): string => {
    const owner = index.at(addressOf(address))
    return owner.kind === 'pod' ? owner.pod.uid : owner.kind
  }
  return { index, moves, at }
}

it('an address is its pod’s until that is gone, and then another’s', () => {
  const { index, moves, at } = started()
  expect(at()).toBe('nobody')
  index.put(reading({ uid: 'a', ip }))
  expect(at()).toBe('a')
  index.remove('a')
  expect(at()).toBe('nobody')
  index.put(reading({ uid: 'b', ip }))
  expect(at()).toBe('b')
  expect(moves).toEqual([`${ip} nobody pod`, `${ip} pod nobody`, `${ip} nobody pod`])
})

it('two pods at one address are refused, whichever of them goes first', () => {
  for (const [gone, left] of [
    ['a', 'b'],
    ['b', 'a'],
  ] as const) {
    const { index, at } = started()
    index.put(reading({ uid: 'a', ip }))
    index.put(reading({ uid: 'b', ip }))
    expect(at()).toBe('several')
    index.remove(gone)
    expect(at()).toBe(left)
  }
})

it('a pod whose containers have ended has no address any more, although it can still be listed', () => {
  const { index, at } = started()
  index.put(reading({ uid: 'a', ip }))
  index.put(reading({ uid: 'a', ip, phase: 'Succeeded' }))
  index.put(reading({ uid: 'b', ip }))
  expect(at()).toBe('b')
})

it('the same name with another uid is another pod', () => {
  const { index, moves, at } = started()
  index.put(reading({ uid: 'a', name: 'agent-0', ip }))
  index.replace('agents', [reading({ uid: 'b', name: 'agent-0', ip })])
  expect(at()).toBe('b')
  expect(moves).toEqual([`${ip} nobody pod`, `${ip} pod nobody`, `${ip} nobody pod`])
})

it('a list takes away whoever is not in it, in its own namespace only', () => {
  const { index, at } = started()
  index.put(reading({ uid: 'a', ip }))
  index.put(reading({ uid: 'o', namespace: 'other', ip: '10.0.0.2' }))
  index.replace('agents', [])
  expect([at(), at('10.0.0.2')]).toEqual(['nobody', 'o'])
  expect([index.count('agents'), index.count('other')]).toEqual([0, 1])
})

it('the address of a node is the node’s while any pod runs there', () => {
  const { index, at } = started()
  index.put(reading({ uid: 'a', ip, hostIP: '10.9.0.1' }))
  index.put(reading({ uid: 'h', hostNetwork: true, ip: '10.9.0.1', hostIP: '10.9.0.1' }))
  expect([at('10.9.0.1'), at()]).toEqual(['node', 'a'])
  index.remove('h')
  expect(at('10.9.0.1')).toBe('node')
  index.remove('a')
  expect(at('10.9.0.1')).toBe('nobody')
})

it('what changes nothing of ours moves nothing; a label, another address and another owner do', () => {
  const { index, moves } = started()
  index.put(reading({ uid: 'a', ip, labels: { x: '1', y: '2' } }))
  moves.length = 0
  index.put(reading({ uid: 'a', ip, labels: { y: '2', x: '1' } }))
  expect(moves).toEqual([])
  index.put(reading({ uid: 'a', ip, labels: { x: '2' } }))
  index.put(reading({ uid: 'a', ip: '10.0.0.7', labels: { x: '2' } }))
  expect(moves).toEqual([`${ip} pod pod`, `${ip} pod nobody`, '10.0.0.7 nobody pod'])
})
