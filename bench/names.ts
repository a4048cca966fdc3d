/** What stands where: names, addresses and cores that every part of the bench agrees on. */
import { availableParallelism } from 'node:os'

/** The host whose replies are asked for, and the zone of as many more as a scenario wants. */
export const host = 'api.bench.test'
export const eventsHost = 'events.bench.test'
export const uploadHost = 'upload.bench.test'
export const zone = 'many.bench.test'
export const manyHosts = 512

export const cores = availableParallelism() > 1 ? { proxy: '0', load: '1', both: '0,1' } : { proxy: '0', load: '0', both: '0' }

/** Where they are: nginx, what takes time, and what reads. All listen on 443, since some proxies go where the Host header says. */
export const upstream = '127.0.0.9'
export const events = '127.0.0.10'
export const uploads = '127.0.0.11'

/** Another agent. */
export const neighbour = '127.0.0.2'
