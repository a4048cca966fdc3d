import { inspect } from 'node:util'

/**
 * A real value that cannot print. Every way a value usually reaches a log (template, JSON, inspect, `%o`) gives
 * `[secret NAME]`; `expose()` is the single way out, and easy to grep.
 */
export class Secret {
  readonly name: string
  readonly #value: string

  constructor(name: string, value: string) {
    this.name = name
    this.#value = value
  }

  /** The real value. Call it only where the value is placed on its way out, or compared. */
  expose(): string {
    return this.#value
  }

  toString(): string {
    return `[secret ${this.name}]`
  }

  toJSON(): string {
    return this.toString()
  }

  [Symbol.toPrimitive](): string {
    return this.toString()
  }

  [inspect.custom](): string {
    return this.toString()
  }
}

/** Where a real value lives. A policy names it and never holds it. */
export type SecretRef =
  | { readonly file: string; readonly jsonKey?: string | undefined }
  | { readonly env: string; readonly jsonKey?: string | undefined }

/** A stable name for a reference, fit for logs and as a map key. */
export function refName(ref: SecretRef): string {
  const place = 'file' in ref ? `file:${ref.file}` : `env:${ref.env}`
  return ref.jsonKey === undefined ? place : `${place}#${ref.jsonKey}`
}
