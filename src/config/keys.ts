/** Which keys a schema knows at a place: for suggestions, and for the names of settings. */
import { z } from 'zod'

/** The keys that may stand at a path of a document; where several kinds are possible, those of the kind that is written. */
export function keysAt(schema: z.ZodType, data: unknown, path: readonly PropertyKey[]): readonly string[] {
  const inner = written(schema, data)
  const [step, ...rest] = path
  if (step === undefined) return inner instanceof z.ZodObject ? Object.keys(inner.shape) : []
  const value: unknown = typeof data === 'object' && data !== null ? Reflect.get(data, step) : undefined
  const next = child(inner, step)
  return next instanceof z.ZodType ? keysAt(next, value, rest) : []
}

function child(schema: z.ZodType, step: PropertyKey): unknown {
  if (schema instanceof z.ZodObject) return schema.shape[String(step)]
  if (schema instanceof z.ZodRecord) return schema.valueType
  return schema instanceof z.ZodArray ? schema.element : undefined
}

/** The schema of what is written, without defaults and without what it is turned into. */
export function bare(schema: z.ZodType): z.ZodType {
  if (schema instanceof z.ZodPipe) return bare(schema.in as z.ZodType)
  if (schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault || schema instanceof z.ZodOptional)
    return bare(schema.unwrap() as z.ZodType)
  return schema
}

/** The schema of the kind that is written where several are possible; otherwise the bare one. */
export function written(schema: z.ZodType, data: unknown): z.ZodType {
  const inner = bare(schema)
  if (!(inner instanceof z.ZodDiscriminatedUnion)) return inner
  const kind: unknown = Reflect.get(Object(data), 'kind')
  const option = inner.options.find(
    (each) => each instanceof z.ZodObject && (each.shape['kind'] as z.ZodType).safeParse(kind).success,
  )
  return option ? bare(option as z.ZodType) : inner
}
