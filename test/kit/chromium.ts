/** A headless Chromium by its own protocol (chromedevtools.github.io/devtools-protocol): pages, keys, screenshots, what the console said. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

const program = ['chromium', 'chromium-browser', 'google-chrome'].find((each) => spawnSync(each, ['--version']).status === 0)

/** Whether this machine has a Chromium; a test that needs one states this as the reason of its skip. */
export const hasChromium = program !== undefined

export interface Tab {
  /** Opens an address and waits until it is loaded. */
  open(url: string): Promise<void>
  /** What an expression is; promises are waited for. Throws what it throws. */
  run<Value>(expression: string): Promise<Value>
  /** Does what leads to another page, and waits until it is loaded. */
  going(expression: string): Promise<void>
  press(key: string): Promise<void>
  size(width: number, height: number, dark?: boolean): Promise<void>
  /** A PNG of the whole page. */
  screenshot(): Promise<Buffer>
  /** Errors and warnings of the console, uncaught exceptions, dialogs that were opened, and addresses asked at other hosts. */
  readonly complaints: string[]
}

export interface Browser extends AsyncDisposable {
  tab(): Promise<Tab>
}

interface Message {
  readonly id?: number
  readonly method?: string
  readonly sessionId?: string
  readonly params?: Record<string, unknown>
  readonly result?: Record<string, unknown>
  readonly error?: { readonly message: string }
}

export async function startChromium(): Promise<Browser> {
  const profile = await mkdtemp(join(tmpdir(), 'chromium-'))
  const flags = [
    '--headless=new',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-dev-shm-usage',
    '--no-first-run',
    '--remote-debugging-port=0',
  ]
  const child = spawn(program ?? '', [...flags, `--user-data-dir=${profile}`, 'about:blank'], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { PATH: process.env['PATH'], HOME: profile, LANG: 'C.UTF-8' },
  })
  const url = await new Promise<string>((resolve, reject) => {
    createInterface({ input: child.stderr }).on('line', (line) => {
      const found = /DevTools listening on (\S+)/.exec(line)?.[1]
      if (found !== undefined) resolve(found)
    })
    child.once('exit', () => reject(new Error('Chromium ended before it listened')))
  })
  const socket = new WebSocket(url)
  await once(socket, 'open')
  let last = 0
  const waiting = new Map<number, (message: Message) => void>()
  const hearing = new Set<(message: Message) => void>()
  socket.addEventListener('message', ({ data }) => {
    const message = JSON.parse(String(data)) as Message
    if (message.id === undefined) for (const hear of hearing) hear(message)
    else waiting.get(message.id)?.(message)
  })
  const call = (method: string, params: object = {}, sessionId?: string) =>
    new Promise<Record<string, unknown>>((resolve, reject) => {
      const id = (last += 1)
      waiting.set(id, ({ result = {}, error }) => {
        waiting.delete(id)
        if (error) reject(new Error(`${method}: ${error.message}`))
        else resolve(result)
      })
      socket.send(JSON.stringify({ id, method, params, sessionId }))
    })
  return {
    async tab() {
      const { targetId } = await call('Target.createTarget', { url: 'about:blank' })
      const { sessionId } = (await call('Target.attachToTarget', { targetId, flatten: true })) as { sessionId: string }
      return openTab((method, params) => call(method, params, sessionId), sessionId, hearing)
    },
    async [Symbol.asyncDispose]() {
      const ended = once(child, 'exit')
      await Promise.race([call('Browser.close').catch(() => {}), ended])
      child.kill('SIGKILL')
      if (child.exitCode === null && child.signalCode === null) await ended
      await rm(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 })
    },
  }
}

async function openTab(
  call: (method: string, params?: object) => Promise<Record<string, unknown>>,
  sessionId: string,
  hearing: Set<(message: Message) => void>,
): Promise<Tab> {
  const complaints: string[] = []
  let loaded = () => {}
  hearing.add(({ method, params = {}, sessionId: of }) => {
    if (of !== sessionId) return
    if (method === 'Page.loadEventFired') loaded()
    if (method === 'Runtime.exceptionThrown') complaints.push(`exception: ${JSON.stringify(params)}`)
    if (method === 'Log.entryAdded') complaints.push(`log: ${JSON.stringify(params['entry'])}`)
    if (method === 'Page.javascriptDialogOpening') {
      complaints.push('a dialog was opened')
      void call('Page.handleJavaScriptDialog', { accept: false })
    }
    if (method === 'Network.requestWillBeSent') {
      const { url } = params['request'] as { url: string }
      if (!url.startsWith('http://127.0.0.1:') && url !== 'about:blank') complaints.push(`asked ${url}`)
    }
  })
  for (const domain of ['Page', 'Runtime', 'Log', 'Network']) await call(`${domain}.enable`)
  const going = async (act: () => Promise<unknown>) => {
    const { promise, resolve } = Promise.withResolvers<void>()
    loaded = resolve
    await act()
    await promise
  }
  const run = async <Value>(expression: string): Promise<Value> => {
    const { result, exceptionDetails } = (await call('Runtime.evaluate', {
      expression,
      awaitPromise: true,
      returnByValue: true,
    })) as {
      result: { value: Value }
      exceptionDetails?: object
    }
    if (exceptionDetails) throw new Error(JSON.stringify(exceptionDetails))
    return result.value
  }
  return {
    complaints,
    run,
    open: (url) => going(() => call('Page.navigate', { url })),
    going: (expression) => going(() => call('Runtime.evaluate', { expression })),
    async press(key) {
      const code = key === 'Enter' ? { windowsVirtualKeyCode: 13, text: '\r' } : { windowsVirtualKeyCode: 9 }
      await call('Input.dispatchKeyEvent', { type: 'keyDown', key, ...code })
      await call('Input.dispatchKeyEvent', { type: 'keyUp', key, ...code })
    },
    async size(width, height, dark = false) {
      await call('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 1, mobile: false })
      await call('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value: dark ? 'dark' : 'light' }] })
    },
    async screenshot() {
      const { data } = await call('Page.captureScreenshot', { captureBeyondViewport: true })
      return Buffer.from(String(data), 'base64')
    },
  }
}
