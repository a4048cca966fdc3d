import { ProxyError } from '#base/errors.ts'
import type { ErrorCode } from '#base/errors.ts'
import { StoreError } from '#store/store-error.ts'
import type { StoreFault } from '#store/store-error.ts'

/** An error as it crosses between threads. Of what is not ours only the class goes over: nobody knows what it would tell. */
export type Fault =
  | { readonly kind: 'proxy'; readonly code: ErrorCode; readonly message: string }
  | { readonly kind: 'store'; readonly code: StoreFault; readonly message: string }
  /** Of a door that cannot be bound. */
  | { readonly kind: 'listen'; readonly code: string; readonly address: string; readonly port: number }
  | { readonly kind: 'other'; readonly name: string }

export function packed(error: unknown): Fault {
  if (error instanceof ProxyError) return { kind: 'proxy', code: error.code, message: error.message }
  if (error instanceof StoreError) return { kind: 'store', code: error.code, message: error.message }
  const { syscall, code, address, port } = error as NodeJS.ErrnoException & { readonly address?: string; readonly port?: number }
  if (syscall === 'listen' && code !== undefined && address !== undefined && port !== undefined)
    return { kind: 'listen', code, address, port }
  return { kind: 'other', name: error instanceof Error ? error.name : typeof error }
}

export function errorOf(fault: Fault): Error {
  switch (fault.kind) {
    case 'proxy':
      return new ProxyError(fault.code, fault.message)
    case 'store':
      return new StoreError(fault.code, fault.message)
    case 'listen': {
      const { code, address, port } = fault
      return Object.assign(new Error(`listen ${code}: ${address}:${port}`), { syscall: 'listen', code, address, port })
    }
    case 'other':
      return new Error(`${fault.name} on another thread`)
    default:
      return fault satisfies never
  }
}
