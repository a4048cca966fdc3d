/** A program that refreshes without end, and says which generation is durable. Arguments: the store, the key. */
import { writeSync } from 'node:fs'
import { openEmbeddedStore } from '#store/sqlite/grants.ts'
import { openSeal } from '#store/seal-key.ts'
import { pairOf } from '../pairs.ts'

const [path = '', keyPath = ''] = process.argv.slice(2)
const store = openEmbeddedStore({ path, seal: openSeal({ path: keyPath, make: true }) })
const found = await store.read('claude')
let generation = found?.generation ?? (await store.login('claude', pairOf(1), 1))
if (found?.inFlightSince !== undefined) await store.release('claude', generation)
for (;;) {
  if (!(await store.begin('claude', generation, generation))) throw new Error('someone else has begun')
  // Long pairs spread over several pages, so that a write has a middle to be killed in.
  if (!(await store.commit('claude', generation, pairOf(generation + 1, 'x'.repeat(9000)), generation)))
    throw new Error('moved on')
  generation += 1
  writeSync(1, `${generation}\n`)
}
