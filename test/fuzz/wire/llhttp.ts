import { createRequire } from 'node:module'
import { begun, isOver } from './readings.ts'
import type { Message, Reading } from './readings.ts'
import type { Side } from './generator.ts'

const require = createRequire(import.meta.url)

type Callback = (...given: never[]) => unknown

interface NodeParser {
  [event: number]: Callback
  initialize(type: number, resource: object, maxHeaderSize: number, lenientFlags: number): void
  execute(bytes: Buffer): number | Error
  finish(): Error | undefined
}

interface NodeParserClass {
  new (): NodeParser
  readonly REQUEST: number
  readonly RESPONSE: number
  readonly kOnHeaders: number
  readonly kOnHeadersComplete: number
  readonly kOnBody: number
  readonly kOnMessageComplete: number
}

const { HTTPParser, methods } = require('node:_http_common') as { HTTPParser: NodeParserClass; methods: readonly string[] }

/** RFC 9112 section 6.3: a head alone, whatever it announces. llhttp leaves that to whoever calls it. */
function isBodyless(status: number, method: string): boolean {
  return method === 'HEAD' || status < 200 || status === 204 || status === 304
}

let reading: Reading = { messages: [], refusal: undefined }
let answered = 'GET'

function current(): Message | undefined {
  return reading.messages.at(-1)
}

/** Node's list leaves out the one that llhttp numbers behind those of RTSP. */
function methodOf(number: number): string {
  return methods[number] || 'QUERY'
}

/** Fields that were given ahead of their head. */
let flushed: string[] = []
let flushedTarget = ''

const parser = new HTTPParser()
const onHeadersComplete: Callback = (
  _major: number,
  minor: number,
  given: string[] | undefined,
  method: number,
  target: string,
  status: number,
  reason: string,
  upgrade: boolean,
  keepAlive: boolean,
) => {
  const version = `1.${minor}`
  const fields = given ?? flushed
  flushed = []
  const asked = flushedTarget + (target ?? '')
  flushedTarget = ''
  if (status === undefined || method !== undefined) {
    reading.messages.push(begun([methodOf(method), asked, version, ...fields].join('\n'), !keepAlive, upgrade))
    return 0
  }
  reading.messages.push(
    begun([version, status, reason, ...fields].join('\n'), status >= 200 && !keepAlive, upgrade || status === 101),
  )
  return isBodyless(status, answered) ? 1 : 0
}
parser[HTTPParser.kOnHeadersComplete] = onHeadersComplete
const onHeaders: Callback = (fields: string[], target: string) => {
  const message = current()
  if (message && !message.complete) message.trailers = fields.join('\n')
  else {
    flushed.push(...fields)
    flushedTarget += target
  }
}
parser[HTTPParser.kOnHeaders] = onHeaders
const onBody: Callback = (part: Buffer) => {
  const message = current()
  if (message) message.body += part.toString('latin1')
}
parser[HTTPParser.kOnBody] = onBody
const onComplete: Callback = () => {
  const message = current()
  if (message) message.complete = true
}
parser[HTTPParser.kOnMessageComplete] = onComplete

/** llhttp inside Node, strict, as `http.Server` and `http.request` use it without `insecureHTTPParser`. */
export function readByNode(side: Side, bytes: Buffer, method: string): Reading {
  reading = { messages: [], refusal: undefined }
  answered = method
  flushed = []
  flushedTarget = ''
  parser.initialize(side === 'requests' ? HTTPParser.REQUEST : HTTPParser.RESPONSE, {}, 16_384, 0)
  const read = parser.execute(bytes)
  const fault = read instanceof Error ? read : isOver(reading) ? undefined : parser.finish()
  return settled(reading, fault instanceof Error ? (fault as NodeJS.ErrnoException).code : undefined)
}

interface Wasm {
  readonly memory: { readonly buffer: ArrayBuffer }
  _initialize?(): void
  llhttp_alloc(type: number): number
  llhttp_free(pointer: number): void
  malloc(size: number): number
  llhttp_execute(pointer: number, at: number, length: number): number
  llhttp_finish(pointer: number): number
}

const mostBytes = 4_096
let line: string[] = []
let inTrailers = false
const slice = (at: number, length: number) => Buffer.from(wasm.memory.buffer, at, length).toString('latin1')

interface WasmEngine {
  readonly Module: new (code: Uint8Array) => object
  readonly Instance: new (module: object, imports: object) => { readonly exports: unknown }
}

const { WebAssembly } = globalThis as unknown as { readonly WebAssembly: WasmEngine }

const wasm = new WebAssembly.Instance(new WebAssembly.Module(require('undici/lib/llhttp/llhttp-wasm.js') as Uint8Array), {
  env: {
    wasm_on_url: () => 0,
    wasm_on_status: (_p: number, at: number, length: number) => {
      line[1] += slice(at, length)
      return 0
    },
    wasm_on_message_begin: () => {
      line = ['', '']
      inTrailers = false
      return 0
    },
    wasm_on_header_field: (_p: number, at: number, length: number) => {
      line.push(slice(at, length), '')
      return 0
    },
    wasm_on_header_value: (_p: number, at: number, length: number) => {
      line[line.length - 1] += slice(at, length)
      return 0
    },
    wasm_on_headers_complete: (_p: number, status: number, upgrade: number, keepAlive: number) => {
      const [, reason, ...fields] = line
      reading.messages.push(
        begun(
          [status, reason, ...fields.map(trimmed)].join('\n'),
          status >= 200 && keepAlive === 0,
          upgrade === 1 || status === 101,
        ),
      )
      line = ['', '']
      inTrailers = true
      return isBodyless(status, answered) ? 1 : 0
    },
    wasm_on_body: (_p: number, at: number, length: number) => {
      const message = current()
      if (message) message.body += slice(at, length)
      return 0
    },
    wasm_on_message_complete: () => {
      const message = current()
      if (message) Object.assign(message, { complete: true, trailers: inTrailers ? line.slice(2).map(trimmed).join('\n') : '' })
      return 0
    },
  },
}).exports as Wasm

const input = wasm.malloc(mostBytes)

/** llhttp of undici, as its client uses it: replies alone. It does not tell the version. */
export function readByUndici(bytes: Buffer, method: string): Reading {
  reading = { messages: [], refusal: undefined }
  answered = method
  const pointer = wasm.llhttp_alloc(2)
  new Uint8Array(wasm.memory.buffer, input, mostBytes).set(bytes)
  const fault = wasm.llhttp_execute(pointer, input, bytes.length) || (isOver(reading) ? 0 : wasm.llhttp_finish(pointer))
  wasm.llhttp_free(pointer)
  return settled(reading, fault === 0 ? undefined : `error ${fault}`)
}

function trimmed(text: string): string {
  return text.replace(/[\t ]+$/, '')
}

/** Where a connection is over, what follows is no message of it. */
function settled({ messages, refusal }: Reading, fault: string | undefined): Reading {
  const end = messages.findIndex(({ complete, last, switches }) => complete && (last || switches))
  return end >= 0
    ? { messages: messages.slice(0, end + 1), refusal: undefined }
    : { messages, refusal: refusal ?? fault ?? missing(messages) }
}

/** Node swallows what is wrong with a body once its head asked for an upgrade. */
function missing(messages: readonly Message[]): string | undefined {
  return messages.at(-1)?.complete === false ? 'not complete' : undefined
}
