/** What the files on floods, resets and scripted replies share. */
import { setTimeout as sleep } from 'node:timers/promises'
import { onEachHead, startRawUpstream, type RawUpstream } from '../kit/raw-upstream.ts'
import type { UpstreamPlan } from '../kit/scenario.ts'
import type { Wire } from '../kit/wire.ts'

/** A host of one name that does as told with each request head it has read. */
export function scripted(host: string, onRequest: (wire: Wire) => void | Promise<void>): UpstreamPlan<RawUpstream> {
  return { hosts: [host], start: ({ certificate }) => startRawUpstream({ certificate }, onEachHead(onRequest)) }
}

/** Floods make as many records as they make; what is looked at is everything else. */
export const uncounted = (): boolean => false

/** A plain GET as bytes; `more` are further header lines. */
export function get(host: string, target = '/json', more = ''): string {
  return `GET ${target} HTTP/1.1\r\nHost: ${host}\r\n${more}\r\n`
}

/** Asks again until it holds or the time is up; milliseconds. */
export async function eventually(holds: () => boolean | Promise<boolean>, timeout = 4000): Promise<boolean> {
  for (const end = performance.now() + timeout; performance.now() < end; await sleep(20)) if (await holds()) return true
  return holds()
}
