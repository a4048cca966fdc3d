/** What the suite knows of one real client. */
export const states = ['normal', 'denied', 'budget', 'refresh', 'ended'] as const
/**
 * `normal`: served. `denied`: no rule. `budget`: used up. `refresh`: the client's own login has run out and it asks for a new one.
 * `ended`: the login behind the stub is gone.
 */
export type State = (typeof states)[number]

export type Door = 'explicit' | 'transparent'

export interface Command {
  readonly program: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** Written to its standard input. */
  readonly input?: string
  /** Files of its home, by path. */
  readonly files?: Readonly<Record<string, string>>
}

/** Where installed clients lie. */
export interface Installed {
  /** A program that the npm registry gave. */
  readonly bin: (name: string) => string
  /** The folder with `node_modules`. */
  readonly modules: string
  readonly python: string
  /** Versions by package. */
  readonly versions: Readonly<Record<string, string>>
}

export interface Client {
  readonly id: string
  readonly family: string
  /** Packages of a registry that it is made of, for its version; left out: a program of the system. */
  readonly version: (installed: Installed) => string | undefined
  /** Why it cannot run here; `undefined`: it can. */
  readonly missing: (installed: Installed) => string | undefined
  /** The host that it is about: what it asks of others is not counted. */
  readonly host: string
  /** The paths there that it is about; left out: all. */
  readonly path?: RegExp
  readonly command: (state: State, installed: Installed) => Command
  /** What it prints when it was served. */
  readonly served: RegExp
  /** What it lets a person see of a refusal: the body, the status line alone, or nothing. */
  readonly shows: 'body' | 'status' | 'nothing'
  /** Why it cannot meet the goal in a state, whatever it is answered. */
  readonly misses?: Readonly<Partial<Record<State, string>>>
  /** Why a state means nothing for it. */
  readonly without: Readonly<Partial<Record<State, string>>>
}
