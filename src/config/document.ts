/** One YAML file as plain data, with the place of everything in it. Whatever could be read in two ways is refused. */
import { Composer, isAlias, isMap, isNode, isScalar, isSeq, Lexer, LineCounter, Parser, visit, YAMLParseError } from 'yaml'
import type { CST, Document, Node, Pair, YAMLError } from 'yaml'
import type { Position } from '#policy/types.ts'
import type { Issue } from './issue.ts'

/** Bytes. */
export const largestFile = 1024 * 1024
const deepest = 32
const mostAliases = 100

export interface YamlFile {
  readonly file: string
  /** `undefined` when the file could not be read; `null` when it says nothing. */
  readonly data: unknown
  readonly issues: readonly Issue[]
  /** Where the value at a path stands, or the nearest thing around it; with `key`, where that key of it stands. */
  readonly locate: (path: readonly PropertyKey[], key?: string) => Position
}

/**
 * Reads YAML 1.2 core: no merge keys, no tags of other types, each key once, few aliases, little depth. Never throws:
 * what is wrong is an issue, and then there is no data.
 */
export function readYaml(file: string, bytes: Buffer, largest: number = largestFile): YamlFile {
  const start = { file, line: 1, column: 1 }
  const refuse = (message: string, position = start): YamlFile => ({
    file,
    data: undefined,
    issues: [{ severity: 'error', position, path: '', message }],
    locate: () => start,
  })
  if (bytes.length > largest) return refuse(`the file has ${bytes.length} bytes; at most ${largest} are read`)
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    return refuse('the file is not UTF-8')
  }
  if (text.includes('\0')) return refuse('the file has a NUL byte')
  try {
    return parse(file, text)
  } catch (error) {
    if (error instanceof TooDeep) return refuse(`the file nests deeper than ${deepest} levels`)
    // The alias limit and the parser's own stack end here.
    return refuse(`the file cannot be read: ${error instanceof Error ? withoutSource(error.message) : 'unknown error'}`)
  }
}

function parse(file: string, text: string): YamlFile {
  const lines = new LineCounter()
  const document = composeDocument(text, lines)
  const position = (offset: number): Position => {
    const { line, col } = lines.linePos(offset)
    return { file, line: Math.max(1, line), column: Math.max(1, col) }
  }
  const issue = (offset: number, message: string): Issue => ({ severity: 'error', position: position(offset), path: '', message })
  const strange = findStrange(document)
  // The tree stands in spite of these, so what else is wrong can be said at once.
  const mild = [
    ...document.errors
      .filter(({ code }) => code === 'DUPLICATE_KEY')
      .map(({ pos }) => issue(pos[0], 'this key stands here twice')),
    ...document.warnings.map((warning) => issue(warning.pos[0], complaint(warning))),
    ...strange.zeros.map(({ offset, message }) => issue(offset, message)),
  ]
  const grave = [
    ...syntaxErrors(document).map((error) => issue(error.pos[0], complaint(error))),
    ...[...strange.keys, ...strange.aliases].map(({ offset, message }) => issue(offset, message)),
  ]
  const data: unknown = grave.length > 0 ? undefined : document.toJS({ maxAliasCount: mostAliases })
  return { file, data, issues: [...grave, ...mild].slice(0, 100), locate: (path, key) => position(offsetOf(document, path, key)) }
}

/** After the first token that has no place, the parser is lost: those that follow say nothing. */
export function syntaxErrors({ errors }: Document): readonly YAMLError[] {
  const grave = errors.filter(({ code }) => code !== 'DUPLICATE_KEY')
  const lost = grave.findIndex(({ code }) => code === 'UNEXPECTED_TOKEN')
  return lost < 0 ? grave : grave.slice(0, lost + 1)
}

/** What the parser says, but for what it quotes from the file, which may be a secret. */
export function complaint({ code, message }: YAMLError): string {
  if (code === 'MULTIPLE_DOCS') return 'the file holds more than one document; write one'
  return withoutSource(message)
}

function withoutSource(message: string): string {
  return message.replace(/(?<=[\w)]): [^]*$/, '')
}

interface Remark {
  readonly offset: number
  readonly message: string
}

/** What the parser takes and other readers take otherwise, found in one walk. */
function findStrange(document: Document): Readonly<Record<'zeros' | 'keys' | 'aliases', readonly Remark[]>> {
  const zeros: Remark[] = []
  const keys: Remark[] = []
  const aliases: Remark[] = []
  let count = 0
  visit(document, {
    // Octal to some readers and decimal to others.
    Scalar: (_, { value, source, range }) => {
      if (typeof value === 'number' && /^[-+]?0\d/.test(source ?? ''))
        zeros.push({ offset: range?.[0] ?? 0, message: `${source} has a leading zero; write ${value}` })
    },
    Pair: (_, { key }) => {
      const message = strangeKey(key)
      if (message !== undefined) keys.push({ offset: startOf(key) ?? 0, message })
    },
    // A list within itself would have no end for what walks it.
    Alias: (_, alias, path) => {
      if (++count > mostAliases) return visit.BREAK
      if (path.includes(alias.resolve(document) as never))
        aliases.push({ offset: startOf(alias) ?? 0, message: 'this alias stands within what it refers to' })
      return undefined
    },
  })
  if (count <= mostAliases) return { zeros, keys, aliases }
  return { zeros, keys, aliases: [{ offset: 0, message: `the file has more than ${mostAliases} aliases` }] }
}

function strangeKey(key: unknown): string | undefined {
  if (!isScalar(key)) return 'a key must be plain text'
  if (key.value === '<<') return 'merge keys are not read; write the keys out'
  return key.value === '__proto__' ? 'this key is not allowed' : undefined
}

class TooDeep extends Error {}

/** What `parseDocument` of the library does, with the depth looked at before the parser meets it. Throws `TooDeep`. */
function composeDocument(text: string, lines: LineCounter): Document {
  const composer = new Composer({
    schema: 'core',
    version: '1.2',
    uniqueKeys: true,
    merge: false,
    resolveKnownTags: false,
    lineCounter: lines,
    prettyErrors: false,
  })
  lines.addNewLine(0)
  const [document, second] = composer.compose(shallow(text, new Parser(lines.addNewLine)), true, text.length)
  if (!document) throw new Error('the parser gives one document at least')
  const [start = 0, end = 0] = second?.range ?? []
  if (second) document.errors.push(new YAMLParseError([start, end], 'MULTIPLE_DOCS', 'the file holds more than one document'))
  return document
}

/** The parser's tokens of a text. The depth is counted as they come, before a tree is built whose depth costs stack and time. */
function* shallow(text: string, parser: Parser): Generator<CST.Token> {
  let flow = 0
  let line = 0
  for (const token of new Lexer().lex(text)) {
    if (token === '[' || token === '{') flow++
    else if (token === ']' || token === '}') flow--
    else if (flow === 0 && (token === '-' || token === '?' || token === ':')) line++
    else if (token.startsWith('\n') || token.startsWith('\r')) line = 0
    // Each level of a block map or list costs at least one space of indentation.
    else if (flow === 0 && token.length > deepest * 8 && /^ +$/.test(token)) throw new TooDeep()
    if (flow > deepest || (flow === 0 && line > deepest)) throw new TooDeep()
    yield* parser.next(token)
  }
  yield* parser.end()
}

function offsetOf(document: Document, path: readonly PropertyKey[], key: string | undefined): number {
  let node: unknown = document.contents
  let offset = 0
  for (const step of path) {
    const pair = stepInto(resolve(document, node), step)
    if (!pair) return offset
    // A list or map is pointed at by its key: its own start is that of its first entry.
    const named = pair.key !== undefined && !isScalar(pair.value)
    offset = (named ? startOf(pair.key) : startOf(pair.value)) ?? startOf(pair.key) ?? offset
    node = pair.value
  }
  if (key === undefined) return offset
  const pair = stepInto(resolve(document, node), key)
  return startOf(pair?.key) ?? offset
}

function stepInto(node: unknown, step: PropertyKey): { readonly key?: unknown; readonly value: unknown } | undefined {
  if (isSeq(node)) return { value: node.items[Number(step)] }
  if (!isMap(node)) return undefined
  return node.items.find((pair: Pair) => isScalar(pair.key) && String(pair.key.value) === String(step))
}

function resolve(document: Document, node: unknown): unknown {
  return isAlias(node) ? node.resolve(document) : node
}

function startOf(node: unknown): number | undefined {
  return isNode(node) ? (node as Node).range?.[0] : undefined
}
