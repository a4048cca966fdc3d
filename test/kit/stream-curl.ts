import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as after } from 'node:timers'

/** A curl whose output is read while it runs. */
export interface StreamCurl extends Disposable {
  readonly text: string
  /** Resolves once the output holds this; `false` when curl ended first, or after `timeout` milliseconds. */
  until(text: string, timeout?: number): Promise<boolean>
  /** Exit code; -1 when a signal ended it. */
  readonly ended: Promise<number>
  readonly running: boolean
  /** Ends it as an agent that lost interest does. */
  kill(): void
  /** SIGSTOP: its sockets stay open and nobody reads them. */
  pause(): void
}

/** Starts curl with its output unbuffered; `--dump-header -` shows the head as soon as it is there; `--include` keeps it back. */
export function streamCurl(args: readonly string[], env: Readonly<Record<string, string>>): StreamCurl {
  const child = spawn('curl', ['-q', '--silent', '--no-buffer', ...args], {
    env: { PATH: process.env['PATH'] ?? '', HOME: '/nonexistent', ...env },
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  let text = ''
  let running = true
  const waiting = new Set<() => void>()
  const wake = (): void => {
    for (const each of waiting) each()
  }
  child.stdout.setEncoding('latin1').on('data', (piece: string) => {
    text += piece
    wake()
  })
  const ended = once(child, 'close').then(([code]) => {
    running = false
    wake()
    return (code as number | null) ?? -1
  })

  function until(wanted: string, timeout = 10_000): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const look = (): void => {
      if (text.includes(wanted)) resolve(true)
      else if (!running) resolve(false)
    }
    const timer = after(() => resolve(false), timeout)
    waiting.add(look)
    look()
    return promise.finally(() => {
      clearTimeout(timer)
      waiting.delete(look)
    })
  }

  return {
    get text() {
      return text
    },
    until,
    ended,
    get running() {
      return running
    },
    kill: () => void child.kill('SIGTERM'),
    pause: () => void child.kill('SIGSTOP'),
    [Symbol.dispose]: () => void child.kill('SIGKILL'),
  }
}
