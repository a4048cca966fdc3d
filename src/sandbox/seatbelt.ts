/** The wall of macOS: a profile of sandbox-exec(1). It has no network of its own, so the explicit door is the only way out. */

export interface SeatbeltOptions {
  readonly work: string
  /** Of the sandbox. */
  readonly home: string
  readonly userHome: string
  /** Of the program, where it is below the user's home. */
  readonly program: readonly string[]
  /** Ours: never, wherever it is. */
  readonly hidden: readonly string[]
  /** Port of the relay's explicit door on loopback. */
  readonly port: number
}

/** Later rules go before earlier ones. */
export function seatbeltProfile({ work, home, userHome, program, hidden, port }: SeatbeltOptions): string {
  return [
    '(version 1)',
    '(allow default)',
    '(deny network*)',
    `(allow network-outbound (remote ip "localhost:${port}"))`,
    ...['/Users', '/Volumes', userHome].map((path) => `(deny file-read-data file-write* (subpath ${text(path)}))`),
    ...program.map((path) => `(allow file-read* (subpath ${text(path)}))`),
    ...[work, home].map((path) => `(allow file-read* file-write* (subpath ${text(path)}))`),
    ...hidden.map((path) => `(deny file-read* file-write* (subpath ${text(path)}))`),
    '(deny file-write* (subpath "/Library") (subpath "/System") (subpath "/private/etc"))',
    '(deny mach-lookup (global-name "com.apple.SecurityServer") (global-name "com.apple.securityd.xpc"))',
    '',
  ].join('\n')
}

function text(path: string): string {
  return `"${path.replaceAll(/["\\]/g, String.raw`\$&`)}"`
}
