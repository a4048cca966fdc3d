import type { AuditRecord } from '#journey/types.ts'
import { asciiJson, bounded } from './text.ts'

/** Longest texts in characters. A record of the greatest length is about 6 KiB. */
const limits = { host: 255, path: 2048, method: 32, reason: 1024, word: 128 } as const

/**
 * One record as one line of JSON, without its line end. Only the fields named here are ever written, whatever else an
 * object may carry; every text has a bound and none can break out of its line.
 */
export function auditLine(record: AuditRecord): string {
  const { agent, dns, swaps, usage } = record
  const line = new Line()
  line.text('id', record.id)
  line.text('time', record.time)
  line.text('type', record.type)
  line.text('event', record.event)
  if (agent === null) line.json('agent', null)
  else line.text('agent', agent)
  line.text('peer', record.peer)
  line.text('door', record.door)
  line.text('protocol', record.protocol)
  line.text('method', record.method, limits.method)
  line.text('scheme', record.scheme)
  line.text('host', record.host, limits.host)
  line.number('port', record.port)
  line.text('path', record.path, limits.path)
  line.text('rule', record.rule)
  line.text('verdict', record.verdict)
  line.text('code', record.code)
  line.text('reason', record.reason, limits.reason)
  line.json(
    'swaps',
    swaps.map(({ credential, place }) => ({ credential: word(credential), place: word(place) })),
  )
  line.json('scrubbed', record.scrubbed)
  line.text('credential', record.credential)
  line.json('answered', record.answered)
  line.json('captured', record.captured)
  line.text('budget', record.budget)
  line.json('limits', record.limits)
  line.json('usage', usage && { ...usage, meter: word(usage.meter), model: word(usage.model) })
  line.number('status', record.status)
  line.number('bytesUp', record.bytesUp)
  line.number('bytesDown', record.bytesDown)
  line.number('duration', record.duration)
  line.number('ttfb', record.ttfb)
  line.text('upstream', record.upstream, limits.host)
  line.text('parent', record.parent)
  line.text('runId', record.runId)
  line.text('policyHash', record.policyHash)
  line.json('dns', dns && { qtype: word(dns.qtype), rcode: word(dns.rcode), outcome: word(dns.outcome), proto: dns.proto })
  line.number('count', record.count)
  return line.end()
}

/** What JSON takes as it is: nearly every text there is. */
const plain = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/

/** A JSON object that is written field by field, which takes a quarter of the time of an object made for `JSON.stringify`. */
class Line {
  #written = ''

  text(name: string, value: string | undefined, limit: number = limits.word): void {
    if (value === undefined) return
    if (value.length <= limit && plain.test(value)) this.#put(name, `"${value}"`)
    else this.json(name, bounded(value, limit))
  }

  number(name: string, value: number | undefined): void {
    if (value !== undefined) this.#put(name, Number.isFinite(value) ? String(value) : 'null')
  }

  json(name: string, value: unknown): void {
    if (value !== undefined) this.#put(name, asciiJson(JSON.stringify(value)))
  }

  end(): string {
    return `${this.#written}}`
  }

  #put(name: string, value: string): void {
    this.#written += `${this.#written === '' ? '{' : ','}"${name}":${value}`
  }
}

function word(text: string): string {
  return bounded(text, limits.word)
}
