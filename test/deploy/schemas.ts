/** Is this an object that a cluster would take? Judged by the schemas of `test/fixtures/schemas`; unknown keys are mistakes. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** A Kubernetes object as far as every one of them goes. */
export interface Manifest {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: {
    readonly name: string
    readonly namespace?: string
    readonly labels?: Readonly<Record<string, string>>
    readonly annotations?: Readonly<Record<string, string>>
  }
  // oxlint-disable-next-line typescript/no-explicit-any -- a tree whose shape is what the tests are about
  readonly [key: string]: any
}

/** The part of JSON Schema that the files use. */
interface Schema {
  readonly $ref?: string
  readonly type?: string | readonly string[]
  readonly enum?: readonly unknown[]
  readonly pattern?: string
  readonly minimum?: number
  readonly maximum?: number
  readonly minItems?: number
  readonly minProperties?: number
  readonly required?: readonly string[]
  readonly properties?: Readonly<Record<string, Schema>>
  readonly additionalProperties?: boolean | Schema
  readonly items?: Schema
  readonly anyOf?: readonly Schema[]
  readonly oneOf?: readonly Schema[]
  readonly allOf?: readonly Schema[]
}

export const schemaFolder = join(import.meta.dirname, '..', 'fixtures', 'schemas')
const definitions = (read('kubernetes.json') as { readonly $defs: Readonly<Record<string, Schema>> }).$defs

/** Everything that is wrong with an object, each with its place; a kind that is not known is wrong. */
export function mistakesOf(manifest: Manifest): readonly string[] {
  const { apiVersion, kind, metadata } = manifest
  const [version = '', group = ''] = apiVersion.split('/').toReversed()
  const file = [kind.toLowerCase(), group.split('.')[0], version].filter(Boolean).join('-') + '.json'
  const name = `${kind}/${metadata.name}`
  if (!existsSync(join(schemaFolder, file))) return [`${name}: no schema for ${apiVersion}`]
  return check(manifest, read(file), name)
}

function read(file: string): Schema {
  return JSON.parse(readFileSync(join(schemaFolder, file), 'utf8')) as Schema
}

function check(value: unknown, schema: Schema, place: string): readonly string[] {
  if (schema.$ref !== undefined) {
    const found = definitions[schema.$ref.split('/').at(-1) ?? '']
    return found ? check(value, found, place) : [`${place}: the schema points at nothing (${schema.$ref})`]
  }
  const types = schema.type === undefined ? [] : [schema.type].flat()
  if (types.length > 0 && !types.some((type) => isOf(type, value))) return [`${place}: is not ${types.join(' or ')}`]
  if (schema.enum && !schema.enum.includes(value)) return [`${place}: is not one of ${schema.enum.join(', ')}`]
  const any = schema.anyOf ?? schema.oneOf
  const branches = any?.map((each) => check(value, each, place)) ?? []
  return [
    ...(branches.length > 0 && branches.every((each) => each.length > 0) ? branches.flat() : []),
    ...(schema.allOf ?? []).flatMap((each) => check(value, each, place)),
    ...checkSize(value, schema, place),
    ...(Array.isArray(value) ? value.flatMap((item, i) => check(item, schema.items ?? {}, `${place}[${i}]`)) : []),
    ...(isMap(value) ? checkMap(value, schema, place) : []),
  ]
}

function checkSize(value: unknown, schema: Schema, place: string): readonly string[] {
  const { pattern, minimum, maximum, minItems, minProperties } = schema
  if (typeof value === 'string' && pattern !== undefined && !new RegExp(pattern).test(value))
    return [`${place}: does not match ${pattern}`]
  const size = Array.isArray(value) ? value.length : isMap(value) ? Object.keys(value).length : value
  if (typeof size !== 'number') return []
  const least = Array.isArray(value) ? minItems : isMap(value) ? minProperties : minimum
  return size < (least ?? Number.NEGATIVE_INFINITY) || size > (maximum ?? Number.POSITIVE_INFINITY)
    ? [`${place}: ${size} is too little or too much`]
    : []
}

function checkMap(value: Readonly<Record<string, unknown>>, schema: Schema, place: string): readonly string[] {
  const { properties = {}, additionalProperties: more = true, required = [] } = schema
  return [
    ...required.filter((key) => !Object.hasOwn(value, key)).map((key) => `${place}.${key}: is missing`),
    ...Object.entries(value).flatMap(([key, each]) => {
      const known = properties[key]
      if (known) return check(each, known, `${place}.${key}`)
      if (more === false) return [`${place}.${key}: is not known`]
      return more === true ? [] : check(each, more, `${place}.${key}`)
    }),
  ]
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isOf(type: string, value: unknown): boolean {
  switch (type) {
    case 'object':
      return isMap(value)
    case 'array':
      return Array.isArray(value)
    case 'integer':
      return Number.isInteger(value)
    case 'null':
      return value === null
    default:
      return typeof value === type
  }
}
