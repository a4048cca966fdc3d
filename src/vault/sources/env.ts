import { ProxyError } from '#base/errors.ts'
import type { Source } from './source.ts'

/** The process environment, for laptops: it is read once and cannot rotate, so `check` warns about it. */
export function env(variables: Readonly<Record<string, string | undefined>>): Source {
  return {
    owns: (ref) => 'env' in ref,
    read(ref) {
      const value = 'env' in ref && Object.hasOwn(variables, ref.env) ? variables[ref.env] : undefined
      if (value === undefined) throw new ProxyError('credential_unavailable', 'the variable is not set')
      return value
    },
    path: () => undefined,
  }
}
