/**
 * providers/ answers: what did this reply cost? One file knows one provider's API: which of its endpoints are metered, what a
 * request asks for, where a reply reports its usage, and how an error looks to its clients. No I/O. Its neighbours: metering/
 * turns usage into charges, journey/ feeds the bytes.
 */
import type { AfterAbort, Counted } from '#base/usage.ts'

export type { Counted }

export interface Provider {
  /** The word after `meter:` in a policy. */
  readonly id: string
  /** Bytes of the longest request that it takes: what is metered is read whole before it is sent. */
  readonly mostBody: number
  /** Whether `meter: auto` picks this provider for the host, by its well-known names. */
  owns(host: string): boolean
  /** What a request is for this provider. Never throws. */
  classify(call: Call): Classified
  /** How its clients are told something of a request that is not metered. */
  readonly speech: Speech
}

/** A request, as far as it tells what it costs: canonical host and path, upper-case method, query with its question mark or empty. */
export interface Call {
  readonly host: string
  readonly method: string
  readonly path: string
  readonly query: string
  /** A WebSocket handshake. */
  readonly upgrade: boolean
}

export type Classified =
  | { readonly kind: 'metered'; readonly shape: Shape }
  /** Costs nothing, or what it costs is told elsewhere: passes unmetered. */
  | {
      readonly kind: 'free'
      /** It is no endpoint the provider knows: a rule with a price means this too. */
      readonly unlisted?: true
    }
  /** Costs money and says nowhere how much; refused unless the rule prices it. `reason` says which kind of endpoint. */
  | { readonly kind: 'unmetered'; readonly reason: string }
  /** A WebSocket whose clients go on over HTTP when it is refused with 426 (RFC 9110 section 15.5.22). */
  | { readonly kind: 'fallback' }

/** One way of asking and answering. */
export interface Shape {
  /** `anthropic/messages`: for audit and tests. */
  readonly name: string
  /** Fields of the JSON request body that `read` wants, as paths of object keys. */
  readonly wants: readonly FieldPath[]
  /** What the request asks for, from those fields (parsed) and the path. Never throws; junk is as if it were not there. */
  read(fields: Fields, call: Call): Asked
  /** Counts one reply. `Undefined` usage at its end means that it reported none. */
  counter(reply: ReplyKind): Counter
  /** Changes the request so that its reply reports usage; `undefined`: it does already, or must not be touched. */
  amend?: ((body: Uint8Array, asked: Asked, call: Call) => Amended | undefined) | undefined
  /** How far the limits of a subscription are used, as a share of each, where the reply's head says so; 1 is all. */
  limits?: ((reply: ReplyKind) => Readonly<Record<string, number>>) | undefined
  /** What is billed of a reply in one piece whose client has left, by the provider's documentation; left out: it does not say, so all of it. */
  readonly afterAbort?: AfterAbort
  /** How this provider's clients are told something so that they show it and stop. */
  readonly speech: Speech
}

export type FieldPath = readonly string[]
/** Parsed values by their path joined with dots; those that are absent are left out. */
export type Fields = Readonly<Record<string, unknown>>

export interface Asked {
  /** In the body or the path; `undefined`: not said. */
  readonly model: string | undefined
  /** Most output tokens the request allows, times the number of answers asked for; `undefined`: not limited by it. */
  readonly mostOutput: number | undefined
  readonly stream: boolean
  /** The request asks for the usage of its stream itself. */
  readonly usageAsked?: boolean
  /** The request has options for its stream already. */
  readonly hasOptions?: boolean
  /** Prompt that is not in the body (a previous response, a file, a cache): the context window bounds it. */
  readonly hiddenInput: boolean
  /** Images of which the body may hold no more than an address. */
  readonly images?: number
  /** It holds sound, or asks for some: that costs more. */
  readonly sound?: boolean
  /** How it asks to be served (`priority`, `flex`, `fast`): prices follow it. */
  readonly tier?: string | undefined
  /** The id of the response it continues, when it names one. */
  readonly continues: string | undefined
  /** Why this request must not pass on a metered host although the endpoint may (`background: true`); `undefined`: it may. */
  readonly refused: string | undefined
}

export interface ReplyKind {
  readonly status: number
  /** Lower case, without parameters; empty when there is none. */
  readonly contentType: string
  /** Lower-case names. */
  readonly header: (name: string) => string | undefined
}

/**
 * Counts the usage of one reply as its decoded bytes come by. Any split of the bytes gives the same count. Bounded memory.
 * Never throws.
 */
export interface Counter {
  feed(chunk: Uint8Array): void
  /** Output that was delivered, in tokens: an estimate. */
  readonly visible: number
  /** How often a usage was reported. */
  readonly reports: number
  /** What is known so far: the last reported usage, if any, and a floor for what was delivered but not yet reported. */
  seen(): Counted
  /** Whether what was fed ends between two events; left out: only the bytes can tell. */
  between?(): boolean
  /** After the last byte. `complete`: the upstream ended the reply properly; else it broke off. */
  end(complete: boolean): Counted
}

export interface Amended {
  readonly body: Uint8Array
  /** The fields that it added: a server that refuses them names one of these. */
  readonly fields: readonly string[]
  /** Filters what the amendment added out of the reply again; `undefined`: the client asked for it itself. */
  readonly filter: (() => ReplyFilter) | undefined
}

/** Takes events out of a reply as it streams. `push` gives the bytes that pass on now, `end` the rest. */
export interface ReplyFilter {
  push(chunk: Uint8Array): Uint8Array
  end(): Uint8Array
}

/** What is to be told to a client. */
export interface Notice {
  /** `unavailable`: asking again in a moment may help. `lasting`: it is no matter of permission, and asking again is of no use. */
  readonly kind: 'budget' | 'denied' | 'unavailable' | 'lasting'
  /** An error code of the table. */
  readonly code: string
  /** The HTTP status of that code, for `denied` and `unavailable`; left out: 403 and 503. */
  readonly status?: number
  readonly message: string
  readonly requestId: string
  /** Seconds since the epoch when a budget resets. */
  readonly resetsAt: number | undefined
}

export interface Speech {
  /** A whole reply instead of the upstream's. Headers are flat. */
  refusal(notice: Notice, call: Call, header: (name: string) => string | undefined): SpokenReply
  /**
   * The bytes that end a running stream with the provider's own error event; `undefined`: break it off.
   */
  cut(notice: Notice, reply: ReplyKind): Uint8Array | undefined
}

export interface SpokenReply {
  readonly status: number
  /** Besides those that every refusal has. */
  readonly headers: readonly string[]
  /** A JSON object. */
  readonly body: { readonly error?: object; readonly [member: string]: unknown }
}
