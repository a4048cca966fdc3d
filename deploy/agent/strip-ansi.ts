#!/usr/bin/env node
/**
 * What a terminal shows, as lines for a log. Reads the named pipes that tmux writes its panes to, takes out what moves cursors and
 * paints colours, and writes each line behind the name of its pane and the run it belongs to.
 */
import { openSync, readFileSync } from 'node:fs'
import { Socket } from 'node:net'
import { basename } from 'node:path'

type State = 'text' | 'escape' | 'charset' | 'csi' | 'osc' | 'string'

/** Characters: an OSC or DCS that is longer was never ended, and what follows is text again. */
const longest = 4096

/** Milliseconds after which a line without an end is written as it is: a question waits for its answer on such a line. */
const patience = 500

/**
 * Turns pieces of a terminal's output into lines, across all edges of the pieces. Knows the sequences of ECMA-48: CSI, OSC ended by BEL
 * or ST, DCS and its like ended by ST, charset choices. What moves the cursor to another line ends the line.
 */
export class Stripper {
  readonly #emit: (line: string) => void
  readonly #decoder = new TextDecoder()
  #state: State = 'text'
  #length = 0
  /** Of a CSI. */
  #parameters = ''
  #line = ''
  #returned = false
  #last = ''

  constructor(emit: (line: string) => void) {
    this.#emit = emit
  }

  write(bytes: Uint8Array): void {
    for (const char of this.#decoder.decode(bytes, { stream: true })) this.#take(char)
  }

  /** Ends the line that has no end yet. Programs redraw what did not change, so a line is not written twice in a row. */
  flush(): void {
    const line = this.#line.trimEnd()
    this.#line = ''
    this.#returned = false
    if (line === '' || line === this.#last) return
    this.#last = line
    this.#emit(line)
  }

  #take(char: string): void {
    switch (this.#state) {
      case 'text':
        return this.#text(char)
      case 'escape':
        return this.#escape(char)
      case 'charset':
        // Intermediate bytes, then one that ends it.
        if (char < ' ' || char > '/') this.#state = 'text'
        return
      case 'csi':
        return this.#csi(char)
      case 'osc':
      case 'string':
        return this.#skip(char)
      default:
        this.#state satisfies never
    }
  }

  #text(char: string): void {
    if (char === '\u001b') this.#state = 'escape'
    else if (char === '\n') this.flush()
    else if (char === '\r') this.#returned = true
    else if (char === '\b') this.#line = this.#line.slice(0, -1)
    else if (char === '\t' || char >= '\u00a0' || (char >= ' ' && char < '\u007f')) {
      // Written over from its beginning.
      if (this.#returned) this.#line = ''
      this.#returned = false
      this.#line += char
    }
  }

  #escape(char: string): void {
    this.#length = 0
    this.#parameters = ''
    if (char === '[') this.#state = 'csi'
    else if (char === ']') this.#state = 'osc'
    else if ('PX^_'.includes(char)) this.#state = 'string'
    else if (char >= ' ' && char <= '/') this.#state = 'charset'
    else if (char !== '\u001b') this.#state = 'text'
  }

  #csi(char: string): void {
    if (char < '@' || char > '~') {
      this.#parameters += char
      if (this.#parameters.length > 64) this.#state = 'text'
      return
    }
    this.#state = 'text'
    // To the right: some programs write their spaces so.
    if (char === 'C') this.#line += ' '.repeat(Math.min(Number(this.#parameters) || 1, 200))
    else if ('ABEFHdf'.includes(char)) this.flush()
  }

  #skip(char: string): void {
    this.#length += 1
    // ST is ESC and a backslash; any other ESC breaks the sequence off.
    if (char === '\u001b') this.#state = 'escape'
    else if ((char === '\u0007' && this.#state === 'osc') || this.#length > longest) this.#state = 'text'
  }
}

/** Opened for both ways, so that it stays open while no pane writes. */
function follow(pipe: string, tag: () => string): Stripper {
  const name = basename(pipe, '.pipe')
  const stripper = new Stripper((line) => process.stdout.write(`[${name}]${tag()} ${line}\n`))
  let idle: ReturnType<typeof setTimeout> | undefined
  new Socket({ fd: openSync(pipe, 'r+'), readable: true, writable: false }).on('data', (bytes: Buffer) => {
    stripper.write(bytes)
    clearTimeout(idle)
    idle = setTimeout(() => stripper.flush(), patience)
  })
  return stripper
}

/** Read anew for each line: the hook that begins a run replaces the file. */
function runTag(file: string): string {
  try {
    const { run_id: id } = JSON.parse(readFileSync(file, 'utf8')) as { run_id?: unknown }
    return typeof id === 'string' && id !== '' ? `[run=${id}]` : ''
  } catch {
    return ''
  }
}

if (import.meta.main) {
  const [runFile = '', ...pipes] = process.argv.slice(2)
  const strippers = pipes.map((pipe) => follow(pipe, () => runTag(runFile)))
  process.on('SIGTERM', () => {
    for (const stripper of strippers) stripper.flush()
    process.exit(0)
  })
}
