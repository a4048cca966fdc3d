/** What each setting is called as a flag and as an environment variable, and how its text is read there. */
import { z } from 'zod'
import { bare } from './keys.ts'
import { settingsSchema } from './settings-schema.ts'

const prefix = 'IRON_PROXY_'

/** Names the settings file; the flag is `--config`. */
export const configVariable = `${prefix}CONFIG`

/** One setting and its names: `listen.dns`, `IRON_PROXY_LISTEN_DNS`, `--listen-dns`. */
export interface SettingKey {
  readonly path: readonly string[]
  readonly env: string
  readonly flag: string
  readonly description: string
  /** The default as one would write it; `undefined`: none. */
  readonly fallback: unknown
  readonly form: 'text' | 'number' | 'boolean' | 'list' | 'map'
}

/** Every setting there is. */
export const settingKeys: readonly SettingKey[] = leaves(settingsSchema, [])

function leaves(schema: z.ZodType, path: readonly string[]): SettingKey[] {
  const inner = bare(schema)
  if (inner instanceof z.ZodObject)
    return Object.entries(inner.shape).flatMap(([name, each]) => leaves(each as z.ZodType, [...path, name]))
  const words = path.map((name) => name.replace(/[A-Z]/g, '-$&').toLowerCase())
  const flag = words.join('-')
  return [
    {
      path,
      flag,
      env: prefix + flag.toUpperCase().replaceAll('-', '_'),
      description: schema.description ?? '',
      fallback: fallbackOf(schema),
      form: formOf(inner),
    },
  ]
}

function fallbackOf(schema: z.ZodType): unknown {
  if (schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault) return schema.def.defaultValue
  return schema instanceof z.ZodPipe ? fallbackOf(schema.in as z.ZodType) : undefined
}

function formOf(schema: z.ZodType): SettingKey['form'] {
  if (schema instanceof z.ZodRecord) return 'map'
  if (schema instanceof z.ZodArray) return 'list'
  if (schema instanceof z.ZodBoolean) return 'boolean'
  if (schema instanceof z.ZodUnion) return schema.options.some((option) => option instanceof z.ZodArray) ? 'list' : 'text'
  return schema instanceof z.ZodNumber ? 'number' : 'text'
}

/** The text of a flag or variable as plain data; lists and maps (`name=value`) are separated by commas. */
export function fromText(text: string, form: SettingKey['form']): unknown {
  const items = text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')
  switch (form) {
    case 'text':
      return text
    case 'number':
      return /^\d+$/.test(text) ? Number(text) : text
    case 'boolean':
      if (/^(?:true|on)$/.test(text)) return true
      return /^(?:false|off)$/.test(text) ? false : text
    case 'list':
      return items.length === 1 && items[0] === 'system' ? 'system' : items
    case 'map':
      return Object.fromEntries(
        items.map((item) => [item.slice(0, Math.max(0, item.indexOf('='))), item.slice(item.indexOf('=') + 1)]),
      )
    default:
      return form satisfies never
  }
}
