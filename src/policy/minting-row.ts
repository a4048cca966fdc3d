import { parsePathPattern } from './match.ts'
import type { PathPattern } from './types.ts'

/** One endpoint that answers with a new secret. */
export interface MintingRow {
  /** `undefined`: on every host. */
  readonly host: RegExp | undefined
  readonly methods: readonly string[]
  /** In lower case: servers take any case, and a final slash or none. */
  readonly path: PathPattern
  /** Paths of that shape that are something else. */
  readonly except: PathPattern | undefined
  /** It takes requests signed for AWS, and no other credential. */
  readonly signed: boolean
  /** The answer, for the refusal. */
  readonly mints: string
}

/** Endpoints of one host. */
export function atHost(host: RegExp, methods: string, mints: string, ...paths: readonly string[]): readonly MintingRow[] {
  return rows({ host }, methods, mints, paths)
}

/** Endpoints of a product that anyone may host, under any prefix. */
export function anywhere(methods: string, mints: string, ...paths: readonly string[]): readonly MintingRow[] {
  return rows({}, methods, mints, paths.map(underAnyPrefix))
}

/** The same, at the root only, where it is shorter than what could be told from other paths. */
export function atRoot(methods: string, mints: string, ...paths: readonly string[]): readonly MintingRow[] {
  return rows({}, methods, mints, paths)
}

/** Endpoints under any prefix, for paths of that shape that are not also of the other. */
export function anywhereBut(except: string, methods: string, mints: string, ...paths: readonly string[]): readonly MintingRow[] {
  return rows({ except: pattern(except) }, methods, mints, paths.map(underAnyPrefix))
}

/** Endpoints under any prefix, for requests that are signed for AWS. */
export function anywhereSigned(methods: string, mints: string, ...paths: readonly string[]): readonly MintingRow[] {
  return rows({ signed: true }, methods, mints, paths.map(underAnyPrefix))
}

function rows(
  { host, except, signed = false }: Partial<Pick<MintingRow, 'host' | 'except' | 'signed'>>,
  methods: string,
  mints: string,
  paths: readonly string[],
): readonly MintingRow[] {
  return paths.map((path) => ({ host, methods: methods.split(' '), path: pattern(path), except, signed, mints }))
}

function underAnyPrefix(path: string): string {
  return `/**${path}`
}

function pattern(text: string): PathPattern {
  const parsed = parsePathPattern(text.toLowerCase())
  if ('refused' in parsed) throw new Error(parsed.refused)
  return parsed
}
