/** A unix socket as a place to listen, as settings write it: `unix:PATH`. */
export interface SocketPlace {
  readonly socket: string
}

/** Bytes of a path that `sun_path` takes on every system we run on: 104 on macOS, 108 on Linux, each with its NUL. */
export const longestSocketPath = 103

/** Reads `unix:PATH`. `undefined`: the text is no such place, or its path is too long for the system. */
export function parseSocketPlace(text: string): SocketPlace | undefined {
  const path = /^unix:(.+)$/.exec(text)?.[1]
  return path !== undefined && new TextEncoder().encode(path).length <= longestSocketPath ? { socket: path } : undefined
}

/** An address and a port as settings write them. */
export function placeText({ address, port }: { readonly address: string; readonly port: number }): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}
