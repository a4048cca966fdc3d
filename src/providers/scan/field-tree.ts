import type { FieldPath } from '../types.ts'

/** A place in a document to which wanted paths lead, and where they go on. */
export interface FieldNode {
  /** Those of `children`, to go through without an iterator. */
  readonly names: string[]
  readonly children: Map<string, FieldNode>
  /** The joined path, where the value itself is wanted. */
  name: string | undefined
  /** Only its length is wanted. */
  measured: boolean
  /** Each element of an array on the way gives one value. */
  many: boolean
}

/** Stands for the array whose elements are documents. */
export const elements: FieldNode = newNode()

const trees = new WeakMap<readonly FieldPath[], WeakMap<readonly FieldPath[], FieldNode>>()

/** The tree of these paths: of some the values are wanted, of some their length. The same arrays give the same tree. */
export function treeOf(paths: readonly FieldPath[], measure: readonly FieldPath[]): FieldNode {
  let known = trees.get(paths)
  if (!known) trees.set(paths, (known = new WeakMap()))
  let root = known.get(measure)
  if (!root) {
    known.set(measure, (root = newNode()))
    for (const path of paths) plant(root, path, false)
    for (const path of measure) plant(root, path, true)
  }
  return root
}

function newNode(): FieldNode {
  return { names: [], children: new Map(), name: undefined, measured: false, many: false }
}

function plant(root: FieldNode, path: FieldPath, measured: boolean): void {
  let node = root
  for (const key of path) {
    let child = node.children.get(key)
    if (!child) {
      node.names.push(key)
      node.children.set(key, (child = newNode()))
    }
    node = child
  }
  if (measured) node.measured = true
  else node.name = path.join('.')
  node.many = path.includes('*')
}

/** The child whose name these bytes are. There are few, so that to compare costs less than to look a text up. */
export function childNamed({ names, children }: FieldNode, bytes: Buffer, start: number, end: number): FieldNode | undefined {
  for (const name of names) if (name.length === end - start && spells(bytes, start, name)) return children.get(name)
  return undefined
}

function spells(bytes: Buffer, start: number, name: string): boolean {
  for (let i = 0; i < name.length; i += 1) if (bytes[start + i] !== name.charCodeAt(i)) return false
  return true
}
