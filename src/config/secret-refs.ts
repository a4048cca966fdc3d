/** Where an entry of a policy names secrets. Only its schema tells such a place from any other map with the same keys. */
import { z } from 'zod'
import { secretRefField } from '#base/fields.ts'
import type { SecretRef } from '#base/secret.ts'
import { bare, written } from './keys.ts'

export interface PlacedSecret {
  readonly path: readonly (string | number)[]
  readonly ref: SecretRef
}

/** Every secret that a parsed entry names, in the order of its schema, with its path below `path`. */
export function secretsIn(schema: z.ZodType, entry: unknown, path: PlacedSecret['path']): PlacedSecret[] {
  const found: PlacedSecret[] = []
  mapSecrets(schema, entry, (ref, below) => {
    found.push({ path: [...path, ...below], ref })
    return ref
  })
  return found
}

/** A copy of a parsed entry with `change` made to every secret it names. */
export function mapSecrets<Entry>(
  schema: z.ZodType,
  entry: Entry,
  change: (ref: SecretRef, path: PlacedSecret['path']) => SecretRef,
): Entry {
  return walk(schema, entry, []) as Entry

  function walk(each: unknown, value: unknown, path: PlacedSecret['path']): unknown {
    if (!(each instanceof z.ZodType) || typeof value !== 'object' || value === null) return value
    const inner = written(each, value)
    if (inner === refSchema) return change(value as SecretRef, path)
    if (inner instanceof z.ZodArray && Array.isArray(value))
      return value.map((item, index) => walk(inner.element, item, [...path, index]))
    if (!(inner instanceof z.ZodObject)) return value
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, walk(inner.shape[key], item, [...path, key])]))
  }
}

// `secretRefField` is wrapped and described anew at every use; what it reads stays this one schema.
const refSchema = bare(secretRefField)
