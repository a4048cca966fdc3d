/**
 * A stream of manifests as people have them: YAML of several documents, `kind: List`, JSON, CRLF. Scalars stay as they are
 * written: YAML's failsafe schema reads all of them as text, so that no number, label or quote changes on its way through.
 */
import { isMap, isScalar, isSeq, LineCounter, Pair, parseAllDocuments, Scalar, stringify, YAMLMap, YAMLSeq } from 'yaml'
import type { Document, Node, ToStringOptions } from 'yaml'
import { complaint, syntaxErrors } from '#config/document.ts'

/** One object of Kubernetes in a stream. */
export interface Manifest {
  readonly document: Document
  /** What it is; the kind of an item of a `PodList` stands in the name of the list. */
  readonly kind: string
  readonly node: YAMLMap
}

export interface ManifestStream {
  readonly documents: readonly Document[]
  readonly isJson: boolean
  readonly style: ToStringOptions
  readonly lineEnd: '\n' | '\r\n'
}

/** Reads a stream. Strings say what is wrong, each with line and column. */
export function readStream(text: string): ManifestStream | readonly string[] {
  const lineEnd = text.includes('\r\n') ? '\r\n' : '\n'
  const plain = text.replace(/^\uFEFF/, '').replaceAll('\r\n', '\n')
  const lines = new LineCounter()
  const options = { schema: 'failsafe', prettyErrors: false, lineCounter: lines, logLevel: 'silent' } as const
  const documents = [...parseAllDocuments(plain, options)].filter((each) => each.contents !== null)
  const broken = documents.flatMap(syntaxErrors).map((error) => {
    const { line: row, col } = lines.linePos(error.pos[0])
    return `${row}:${col} ${complaint(error)}`
  })
  return broken.length > 0 ? broken : { documents, lineEnd, isJson: /^\s*\{\s*("|\})/.test(plain), style: styleOf(plain) }
}

/** Every object in a stream, those in lists among them. */
export function manifestsIn({ documents }: Pick<ManifestStream, 'documents'>): readonly Manifest[] {
  return documents.flatMap((document) => manifestsAt(document, document.contents, undefined))
}

function manifestsAt(document: Document, node: unknown, listed: string | undefined): readonly Manifest[] {
  if (!isMap(node)) return []
  const kind = textIn(node, 'kind') ?? listed ?? ''
  const items = node.get('items')
  // `kind: List`, and `PodList` as the API itself answers.
  if (kind.endsWith('List') && isSeq(items))
    return items.items.flatMap((item) => manifestsAt(document, item, kind === 'List' ? undefined : kind.slice(0, -'List'.length)))
  return [{ document, kind, node }]
}

/** Prints a stream as it was written, with more objects after it. */
export function printStream({ documents, isJson, lineEnd, style }: ManifestStream, more: readonly object[]): string {
  if (isJson) return printJson(documents, more)
  const printed = [
    ...documents.map((each) => each.toString({ ...style, lineWidth: 0, directives: false })),
    ...(more.length > 0 ? [printObjects(more, style)] : []),
  ]
  const text = printed.map((each) => each.trimEnd()).join('\n---\n')
  // kubectl takes a stream that begins with a brace for JSON.
  return (text.startsWith('{') ? `---\n${text}` : text).replaceAll('\n', lineEnd)
}

/** Prints objects that stand in no stream yet. */
export function printObjects(objects: readonly object[], style: ToStringOptions = {}): string {
  const printed = objects.map((each) => stringify(nodeOf(each), { ...style, schema: 'failsafe', lineWidth: 0 }))
  return printed.map((each) => each.trimEnd()).join('\n---\n')
}

/** kubectl reads YAML 1.1, where `on`, `y`, `0o17`, `1e3` and `1_000` are no text. */
function isAmbiguous(text: string): boolean {
  if (/^\d+(?:\.\d+){3}$/.test(text)) return false
  return !/^[a-z/][\w./-]*$/i.test(text) || /^(?:y|n|yes|no|on|off|true|false|null|nan|inf)$/i.test(text)
}

/** The text at a key; `undefined`: there is none, or it is a map or a list. */
export function textIn(map: YAMLMap, key: string): string | undefined {
  const value = map.get(key)
  return typeof value === 'string' ? value : undefined
}

/** A scalar that the failsafe schema prints without quotes: `false`, `2`. */
export function plain(text: string): Scalar {
  const scalar = new Scalar(text)
  scalar.type = 'PLAIN'
  return scalar
}

/** A text that must stay one, such as "2". */
export function quoted(text: string): Scalar {
  const scalar = new Scalar(text)
  scalar.type = 'QUOTE_DOUBLE'
  return scalar
}

/** Values of a node as kubectl reads them, as far as texts and booleans go. */
export function valueOf(node: unknown): unknown {
  if (isMap(node))
    return Object.fromEntries(node.items.map(({ key, value }) => [String(isScalar(key) ? key.value : key), valueOf(value)]))
  if (isSeq(node)) return node.items.map(valueOf)
  if (!isScalar(node)) return node ?? null
  if (node.type !== 'PLAIN') return node.value
  const text = String(node.value)
  if (/^(?:y|yes|on|true)$/i.test(text)) return true
  if (/^(?:n|no|off|false)$/i.test(text)) return false
  return /^(?:~|null|)$/i.test(text) ? null : text
}

/** Indents as the author does. */
function styleOf(text: string): ToStringOptions {
  return {
    indentSeq: !/^( *)(?:- )?[^\s#-][^\n]*:[^\S\n]*\n\1- /m.test(text),
    flowCollectionPadding: /\{ \S/.test(text),
  }
}

/** One JSON value: several objects are a List, as kubectl prints them. */
function printJson(documents: readonly Document[], more: readonly object[]): string {
  const values = documents.map(({ contents }) => jsonOf(contents))
  const [first] = values
  const items = values.length === 1 && isList(first) ? first.items : values
  const isAlone = values.length === 1 && more.length === 0
  const whole = isAlone ? first : { ...(isList(first) ? first : { apiVersion: 'v1', kind: 'List' }), items: [...items, ...more] }
  return JSON.stringify(whole, null, 2)
}

function isList(value: unknown): value is { readonly items: readonly unknown[] } {
  return typeof value === 'object' && value !== null && 'kind' in value && value.kind === 'List' && 'items' in value
}

/** A piece of JSON as it is written (ECMAScript 2026; TypeScript does not know it yet). */
const { rawJSON } = JSON as unknown as { readonly rawJSON: (text: string) => object }

/** Numbers stay as they are written. */
function jsonOf(node: unknown): unknown {
  if (isMap(node)) return Object.fromEntries(node.items.map(({ key, value }) => [String((key as Scalar).value), jsonOf(value)]))
  if (isSeq(node)) return node.items.map(jsonOf)
  const { type, value } = node as Scalar<string>
  return type === 'PLAIN' && /^(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)$/.test(value)
    ? rawJSON(value)
    : value
}

/** A node in the failsafe schema: what is no text is printed without quotes, and text that could be taken for something else with. */
export function nodeOf(value: unknown): Node {
  if (Array.isArray(value)) {
    const list = new YAMLSeq()
    list.items = value.map(nodeOf)
    return list
  }
  if (typeof value === 'object' && value !== null) {
    const map = new YAMLMap()
    for (const [key, each] of Object.entries(value)) map.items.push(new Pair(nodeOf(key), nodeOf(each)))
    return map
  }
  const text = String(value)
  return typeof value === 'string' && isAmbiguous(text) ? quoted(text) : plain(text)
}
