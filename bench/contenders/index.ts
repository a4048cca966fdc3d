/** All that can stand in a table, ours first. */
import { haproxy, mitmproxy, nginx, squid } from './debian.ts'
import { ironProxy } from './iron-proxy.ts'
import { httpMitmProxy, mockttp } from './npm.ts'
import type { Contender } from './types.ts'
import { direct, sketch } from './yardsticks.ts'

export const ours = ironProxy()
export const contenders: readonly Contender[] = [ours, direct, haproxy, nginx, sketch, squid, httpMitmProxy, mockttp, mitmproxy]
