import { expect, it } from 'vitest'
import type { Address } from '#base/address.ts'
import { OwnersReplica } from '#identity/owners-replica.ts'
import type { Owner } from '#contracts/owners.ts'

const [here, there] = ['10.0.0.1', '10.0.0.2'] as [Address, Address]
const node: Owner = { kind: 'node' }

it('a copy knows who has which address once it was told, and what it does not know', () => {
  const copy = new OwnersReplica()
  expect(copy.at(here)).toEqual({ kind: 'pending' })
  copy.take({ owners: [[here, node]], pending: true })
  expect([copy.at(here), copy.at(there)]).toEqual([node, { kind: 'pending' }])
  copy.wait(false)
  copy.move(here, { kind: 'nobody' })
  copy.move(there, node)
  expect([copy.at(here), copy.at(there)]).toEqual([{ kind: 'nobody' }, node])
  expect(copy.drain()).toEqual({ pod: 0, several: 0, node: 2, nobody: 1, doubtful: 0, pending: 2 })
  expect(copy.drain()).toEqual({ pod: 0, several: 0, node: 0, nobody: 0, doubtful: 0, pending: 0 })
})
