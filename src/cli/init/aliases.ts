/** Writes out the aliases and merge keys of a document, so that an edit of one place changes no other. */
import { isAlias, isMap, isNode, isPair, isScalar, isSeq, visit, type Document, type Node, type Pair, type YAMLMap } from 'yaml'

/** Nodes that a document may have once it is written out: aliases of aliases grow without end. */
const most = 100_000

/** Whether a document repeats a part of itself by an alias or a merge key. */
export function hasAliases(document: Document): boolean {
  let found = false
  visit(document, {
    Alias: () => {
      found = true
      return visit.BREAK
    },
    Pair: (_, pair) => {
      found = isMergeKey(pair)
      return found ? visit.BREAK : undefined
    },
  })
  return found
}

/** Replaces each alias by what it stands for. Returns why that cannot be done; `undefined`: it was. */
export function writeOutAliases(document: Document): string | undefined {
  const anchors = new Map<string, Node>()
  let count = 0
  const writeOut = (node: Node): Node => {
    count += 1
    if (count > most) throw new Error('its aliases stand for too much')
    if (isAlias(node)) {
      const target = anchors.get(node.source)
      if (!target) throw new Error(`the alias *${node.source} stands for nothing that is written before it`)
      const copy = target.clone() as Node
      count += sizeOf(copy)
      return copy
    }
    const anchor = 'anchor' in node ? node.anchor : undefined
    if (isMap(node)) node.items = node.items.flatMap((pair) => writeOutPair(pair, node))
    else if (isSeq(node)) node.items = node.items.map((item) => (isNode(item) ? writeOut(item) : item))
    if (anchor !== undefined) {
      delete (node as { anchor?: string }).anchor
      anchors.set(anchor, node)
    }
    return node
  }
  const writeOutPair = (pair: Pair, { items }: YAMLMap): readonly Pair[] => {
    if (isNode(pair.value)) pair.value = writeOut(pair.value)
    if (!isMergeKey(pair)) return [pair]
    const own = new Set(items.filter((each) => each !== pair).map(keyOf))
    const merged = new Map<unknown, Pair>()
    for (const from of isSeq(pair.value) ? pair.value.items : [pair.value])
      if (isMap(from))
        for (const each of from.items) if (!own.has(keyOf(each)) && !merged.has(keyOf(each))) merged.set(keyOf(each), each)
    return [...merged.values()].map((each) => each.clone(document.schema))
  }
  try {
    if (document.contents) document.contents = writeOut(document.contents)
    return undefined
  } catch (error) {
    return (error as Error).message
  }
}

function sizeOf(node: unknown): number {
  if (isPair(node)) return sizeOf(node.value)
  if (isMap(node) || isSeq(node))
    return 1 + (node.items as readonly unknown[]).reduce<number>((total, each) => total + sizeOf(each), 0)
  return 1
}

function isMergeKey({ key }: Pair): boolean {
  return isScalar(key) && key.value === '<<' && (key.type ?? 'PLAIN') === 'PLAIN'
}

function keyOf({ key }: Pair): unknown {
  return isScalar(key) ? key.value : key
}
