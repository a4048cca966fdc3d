/** One YAML file as plain data, with the place of everything in it. Whatever could be read in two ways is refused. */
import { isAlias, isMap, isNode, isScalar, isSeq, Lexer, LineCounter, parseDocument, visit } from 'yaml'
import type { Document, Node, Pair, YAMLError } from 'yaml'
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
export function readYaml(file: string, bytes: Buffer): YamlFile {
  const start = { file, line: 1, column: 1 }
  const refuse = (message: string, position = start): YamlFile => ({
    file,
    data: undefined,
    issues: [{ severity: 'error', position, path: '', message }],
    locate: () => start,
  })
  if (bytes.length > largestFile) return refuse(`the file has ${bytes.length} bytes; at most ${largestFile} are read`)
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    return refuse('the file is not UTF-8')
  }
  if (text.includes('\0')) return refuse('the file has a NUL byte')
  if (tooDeep(text)) return refuse(`the file nests deeper than ${deepest} levels`)
  try {
    return parse(file, text)
  } catch (error) {
    // The alias limit and the parser's own stack end here.
    return refuse(`the file cannot be read: ${error instanceof Error ? withoutSource(error.message) : 'unknown error'}`)
  }
}

function parse(file: string, text: string): YamlFile {
  const lines = new LineCounter()
  const document = parseDocument(text, {
    schema: 'core',
    version: '1.2',
    uniqueKeys: true,
    merge: false,
    resolveKnownTags: false,
    lineCounter: lines,
    prettyErrors: false,
  })
  const position = (offset: number): Position => {
    const { line, col } = lines.linePos(offset)
    return { file, line: Math.max(1, line), column: Math.max(1, col) }
  }
  const issue = (offset: number, message: string): Issue => ({ severity: 'error', position: position(offset), path: '', message })
  // The tree stands in spite of these, so what else is wrong can be said at once.
  const mild = [
    ...document.errors
      .filter(({ code }) => code === 'DUPLICATE_KEY')
      .map(({ pos }) => issue(pos[0], 'this key stands here twice')),
    ...document.warnings.map((warning) => issue(warning.pos[0], complaint(warning))),
    ...leadingZeros(document).map(({ offset, message }) => issue(offset, message)),
  ]
  const grave = [
    ...syntaxErrors(document).map((error) => issue(error.pos[0], complaint(error))),
    ...[...strangeKeys(document), ...strangeAliases(document)].map(({ offset, message }) => issue(offset, message)),
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

// Octal to some readers and decimal to others.
function leadingZeros(document: Document): Remark[] {
  const found: Remark[] = []
  visit(document, {
    Scalar: (_, { value, source, range }) => {
      if (typeof value === 'number' && /^[-+]?0\d/.test(source ?? ''))
        found.push({ offset: range?.[0] ?? 0, message: `${source} has a leading zero; write ${value}` })
    },
  })
  return found
}

function strangeKeys(document: Document): Remark[] {
  const found: Remark[] = []
  visit(document, {
    Pair: (_, { key }) => {
      const message = strangeKey(key)
      if (message !== undefined) found.push({ offset: startOf(key) ?? 0, message })
    },
  })
  return found
}

// A list within itself would have no end for whoever walks it.
function strangeAliases(document: Document): Remark[] {
  const found: Remark[] = []
  let count = 0
  visit(document, {
    Alias: (_, alias, path) => {
      if (++count > mostAliases) return visit.BREAK
      if (path.includes(alias.resolve(document) as never))
        found.push({ offset: startOf(alias) ?? 0, message: 'this alias stands within what it refers to' })
      return undefined
    },
  })
  return count > mostAliases ? [{ offset: 0, message: `the file has more than ${mostAliases} aliases` }] : found
}

function strangeKey(key: unknown): string | undefined {
  if (!isScalar(key)) return 'a key must be plain text'
  if (key.value === '<<') return 'merge keys are not read; write the keys out'
  return key.value === '__proto__' ? 'this key is not allowed' : undefined
}

// Counted on the tokens, before the parser builds a tree whose depth costs it stack and time.
function tooDeep(text: string): boolean {
  let flow = 0
  let line = 0
  for (const token of new Lexer().lex(text)) {
    if (token === '[' || token === '{') flow++
    else if (token === ']' || token === '}') flow--
    else if (flow === 0 && (token === '-' || token === '?' || token === ':')) line++
    else if (token.startsWith('\n') || token.startsWith('\r')) line = 0
    if (flow > deepest || (flow === 0 && line > deepest)) return true
    // Each level of a block map or list costs at least one space of indentation.
    if (flow === 0 && /^ +$/.test(token) && token.length > deepest * 8) return true
  }
  return false
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
