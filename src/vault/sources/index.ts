import { env } from './env.ts'
import { file } from './file.ts'
import type { Source } from './source.ts'

/** Every source there is; `variables` is the process environment. */
export function sources(variables: Readonly<Record<string, string | undefined>>): readonly Source[] {
  return [file, env(variables)]
}
