import { defineConfig } from 'vitest/config'

/** Not part of `npm test`: it takes clients from their registries. `npm run test:clients` runs it. */
export default defineConfig({
  test: {
    root: new URL('../..', import.meta.url).pathname,
    name: 'clients',
    include: ['test/clients/**/*.test.ts'],
    testTimeout: 300_000,
    hookTimeout: 120_000,
    maxWorkers: 1,
  },
})
