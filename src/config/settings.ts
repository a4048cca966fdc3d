/**
 * Process settings: flag before environment before file before default. Files are relative to the working directory,
 * wherever the setting comes from.
 */
import { readFile } from 'node:fs/promises'
import { platform } from 'node:os'
import { didYouMean } from '#base/did-you-mean.ts'
import { fileFault } from '#base/file-fault.ts'
import { readYaml } from './document.ts'
import type { YamlFile } from './document.ts'
import { pathText, valueAt } from './issue.ts'
import type { Issue } from './issue.ts'
import { issueAt } from './part.ts'
import { keysAt } from './keys.ts'
import { mistakes } from './mistakes.ts'
import { configVariable, fromText, settingKeys } from './setting-keys.ts'
import { settingsSchema } from './settings-schema.ts'
import type { Settings } from './settings-schema.ts'
import { isRedisPlace } from '#store/redis/place.ts'

export interface SettingsSource {
  /** Path of the settings file; left out: `IRON_PROXY_CONFIG`, or none. */
  readonly file?: string | undefined
  readonly env: Readonly<Record<string, string | undefined>>
  /** By flag name without dashes: `listen-dns`. */
  readonly flags: Readonly<Record<string, string | boolean | undefined>>
  /** As `os.platform()` names it; default: this one. */
  readonly system?: string
}

export interface Origin {
  /** As it was written, before it was read. */
  readonly value: unknown
  readonly origin: 'flag' | 'env' | 'file' | 'default'
}

export interface LoadedSettings {
  /** `undefined`: there are errors. */
  readonly settings: Settings | undefined
  /** By path, `listen.dns`, in the order of the schema. */
  readonly origins: ReadonlyMap<string, Origin>
  readonly issues: readonly Issue[]
}

/** Reads settings from everywhere they may stand. Never throws: what is wrong is an issue. */
export async function loadSettings({ file, env, flags, system = platform() }: SettingsSource): Promise<LoadedSettings> {
  const issues: Issue[] = unknownVariables(env)
  const yaml = await readSettingsFile(file ?? env[configVariable])
  if (yaml) issues.push(...yaml.issues)
  const raw: Record<string, unknown> = plainMap(yaml?.data) ? structuredClone(yaml.data) : {}
  if (yaml?.data !== undefined && yaml.data !== null && !plainMap(yaml.data))
    issues.push(issueAt(yaml, 'error', [], 'write a map of settings'))
  const origins = new Map<string, Origin>()
  for (const key of settingKeys) {
    const flag = flags[key.flag]
    const variable = env[key.env]
    const given = flag === undefined ? variable : flag
    if (given !== undefined) put(raw, key.path, typeof given === 'string' ? fromText(given, key.form) : given)
    const origin =
      flag !== undefined
        ? 'flag'
        : variable !== undefined
          ? 'env'
          : valueAt(yaml?.data, key.path) !== undefined
            ? 'file'
            : 'default'
    origins.set(pathText(key.path), { value: valueAt(raw, key.path) ?? key.fallback, origin })
  }
  const parsed = settingsSchema.safeParse(raw)
  if (!parsed.success) {
    for (const mistake of mistakes(parsed.error, raw, (path) => keysAt(settingsSchema, raw, path))) {
      issues.push(placed(mistake.path, 'error', mistake.message, origins, yaml, mistake.key))
    }
  } else {
    if (parsed.data.replicas > 1 && !isRedisPlace(parsed.data.state))
      issues.push(placed(['state'], 'error', alone, origins, yaml))
    if (parsed.data.workers > 1 && system !== 'linux') issues.push(placed(['workers'], 'error', onlyLinux(system), origins, yaml))
    if (Object.values(parsed.data.listen).every((each) => each === 'off'))
      issues.push(
        placed(['listen', 'proxy'], 'error', 'every door is off, so there is nothing to do; leave one open', origins, yaml),
      )
  }
  const sound = parsed.success && issues.every(({ severity }) => severity === 'warning')
  return { settings: sound ? parsed.data : undefined, origins, issues }
}

async function readSettingsFile(file: string | undefined): Promise<YamlFile | undefined> {
  if (file === undefined) return undefined
  try {
    return readYaml(file, await readFile(file))
  } catch (error) {
    const message = `the settings cannot be read: ${fileFault(error)}`
    const position = { file, line: 0, column: 0 }
    return { file, data: undefined, issues: [{ severity: 'error', position, path: '', message }], locate: () => position }
  }
}

// A Kubernetes Service called iron-proxy puts variables with our prefix into every pod of its namespace.
const ofKubernetes = /^IRON_PROXY_(?:SERVICE_|PORT$|PORT_)/

function unknownVariables(env: SettingsSource['env']): Issue[] {
  const known = [...settingKeys.map((key) => key.env), configVariable]
  return Object.keys(env)
    .filter((name) => name.startsWith('IRON_PROXY_') && !ofKubernetes.test(name) && !known.includes(name))
    .map((name) => ({
      severity: 'warning',
      position: { file: name, line: 0, column: 0 },
      path: '',
      message: `this environment variable is not known${didYouMean(name, known)}`,
    }))
}

function placed(
  path: readonly PropertyKey[],
  severity: Issue['severity'],
  message: string,
  origins: LoadedSettings['origins'],
  yaml: YamlFile | undefined,
  key?: string,
): Issue {
  const text = pathText(path)
  const setting = settingKeys.find(
    (each) =>
      text === pathText(each.path) || text.startsWith(`${pathText(each.path)}.`) || text.startsWith(`${pathText(each.path)}[`),
  )
  const origin = setting && origins.get(pathText(setting.path))?.origin
  if (yaml && origin !== 'env' && origin !== 'flag') return issueAt(yaml, severity, path, message, key)
  const file = origin === 'flag' ? `--${setting?.flag}` : (setting?.env ?? 'settings')
  return { severity, position: { file, line: 0, column: 0 }, path: text, message }
}

const alone =
  'a file is for one replica, and `replicas` says that there are more: each would spend every budget by itself and refresh every ' +
  'login by itself, which ends it; write redis://host:6379/0, or run one replica'

function onlyLinux(system: string): string {
  return `several threads share their ports by what only Linux does (SO_REUSEPORT), and this is ${system}; write 1, or run replicas`
}

function put(target: Record<string, unknown>, path: readonly string[], value: unknown): void {
  const [name, ...rest] = path
  if (name === undefined) return
  if (rest.length === 0) {
    target[name] = value
    return
  }
  const child = target[name]
  const next: Record<string, unknown> = plainMap(child) ? child : {}
  target[name] = next
  put(next, rest, value)
}

function plainMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
