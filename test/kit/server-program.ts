import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'

/**
 * Starts a real server of another product and waits until its page answers with 200. It is killed when disposed. Throws
 * with what it said when it exits before, or does not answer in time.
 */
export async function startServer(program: string, args: readonly string[], ready: string): Promise<AsyncDisposable> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes: Buffer) => (said += bytes.toString()))
  const exited = once(child, 'exit')
  const stop = async (): Promise<void> => {
    child.kill('SIGKILL')
    await exited
  }
  const deadline = performance.now() + 20_000
  while (performance.now() < deadline && child.exitCode === null) {
    const reply = await fetch(ready).catch(() => undefined)
    if (reply?.status === 200) return { [Symbol.asyncDispose]: stop }
    await sleep(50)
  }
  await stop()
  throw new Error(`${program} does not answer: ${said}`)
}
