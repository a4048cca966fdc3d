/** What the wire costs: nanoseconds a head and a chunk, read and written. `node bench/wire.ts` */
import { ReplyReader } from '#wire/reply-reader.ts'
import { RequestReader } from '#wire/request-reader.ts'
import { chunkPrefix, joinHead, replyHeadText, requestHeadText } from '#wire/write.ts'

const limits = { headBytes: 65_536, headers: 200, targetBytes: 16_384, chunkLineBytes: 4_096, trailerBytes: 16_384 }

/** As an SDK of an LLM sends and gets it. */
const sent = [
  ['host', 'api.example.test'],
  ['accept', 'application/json'],
  ['content-type', 'application/json'],
  ['user-agent', 'Agent/JS 5.12.2'],
  ['x-stainless-lang', 'js'],
  ['x-stainless-os', 'Linux'],
  ['authorization', `Bearer ${'s'.repeat(60)}`],
  ['accept-encoding', 'gzip, deflate, br'],
  ['content-length', '1024'],
].flat()
const answered = [
  ['Date', 'Tue, 01 Dec 2026 02:00:00 GMT'],
  ['Content-Type', 'application/json'],
  ['Cache-Control', 'no-store'],
  ['x-request-id', 'req_0123456789abcdef'],
  ['Strict-Transport-Security', 'max-age=31536000; includeSubDomains; preload'],
  ['Content-Length', '1024'],
].flat()

const nothing = () => {}
const requests = new RequestReader(limits, { head: nothing, data: nothing, end: nothing, refuse: fail })
const replies = new ReplyReader(limits, { informational: nothing, head: nothing, data: nothing, end: nothing, refuse: fail })
const streams = new ReplyReader(limits, { informational: nothing, head: nothing, data: nothing, end: nothing, refuse: fail })

const body = Buffer.alloc(1_024, 97)
const request = joinHead(requestHeadText('POST', '/v1/messages', sent), body, false, true)
const reply = joinHead(replyHeadText(200, 'OK', answered), body, false, true)
const half = request.length >> 1
const halves = [request.subarray(0, half), request.subarray(half)] as const
streams.read(Buffer.from('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'))
const event = joinHead('', Buffer.alloc(200, 97), true, false)
const many = Buffer.concat(Array.from({ length: 64 }, () => event))

const rows: readonly (readonly [string, number, () => unknown])[] = [
  ['read a request: 9 fields, 1 KiB', 1, () => requests.read(request)],
  ['the same in two pieces', 1, () => [requests.read(halves[0]), requests.read(halves[1])]],
  ['read a reply: 6 fields, 1 KiB', 1, () => replies.read(reply)],
  ['read a chunk of 200 bytes, alone', 1, () => streams.read(event)],
  ['read a chunk of 200 bytes, of 64 in one piece', 64, () => streams.read(many)],
  ['write a request: 9 fields, 1 KiB', 1, () => joinHead(requestHeadText('POST', '/v1/messages', sent), body, false, true)],
  ['write a reply: 6 fields, 1 KiB', 1, () => joinHead(replyHeadText(200, 'OK', answered), body, false, true)],
  ['write a chunk of 200 bytes, joined', 1, () => joinHead('', event, true, false)],
  ['write what stands before a chunk', 1, () => chunkPrefix(200)],
]

for (const [title, count, run] of rows)
  process.stdout.write(`${title.padEnd(50)} ${best(run, count).toFixed(0).padStart(6)} ns\n`)

/** The best of twenty turns: what is slower was disturbed. */
function best(run: () => unknown, count: number): number {
  const rounds = 20_000
  let least = Number.POSITIVE_INFINITY
  for (let turn = 0; turn < 20; turn += 1) {
    const begun = process.hrtime.bigint()
    for (let i = 0; i < rounds / count; i += 1) run()
    least = Math.min(least, Number(process.hrtime.bigint() - begun) / rounds)
  }
  return least
}

function fail(): never {
  throw new Error('the bench has written what the wire refuses')
}
