/**
 * demo/ answers: does it do what it says? It plays one agent, one operator and every upstream against the real proxy.
 * `steps.ts` is its table of contents, `stage.ts` what the steps stand on, `show.ts` how they are told.
 */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { exit, line } from '../command.ts'
import type { Command, ExitCode, Terminal } from '../command.ts'
import { createShow } from './show.ts'
import { makeFolder, setStage } from './stage.ts'
import type { Stage } from './stage.ts'
import type { DemoStep, Told } from './step.ts'
import { steps } from './steps.ts'
import { findTools } from './tools.ts'

export const demo: Command = {
  name: 'demo',
  summary: 'watch it work: real proxy, servers, curl and git, all on loopback',
  usage: '',
  options: {},
  help: {},
  examples: ['iron-proxy demo'],
  async run(_input, terminal) {
    const stop = new AbortController()
    const offs = (['SIGINT', 'SIGTERM', 'SIGHUP'] as const).map((name) => terminal.onSignal(name, () => stop.abort()))
    // Whoever reads us may leave first: `| head`.
    terminal.stdout.on('error', () => stop.abort())
    try {
      return await play(terminal, stop.signal)
    } catch (error) {
      if (!stop.signal.aborted) throw error
      line(terminal.stderr, 'iron-proxy: stopped; nothing is left behind')
      return exit.findings
    } finally {
      for (const off of offs) off()
    }
  },
}

async function play(terminal: Terminal, signal: AbortSignal): Promise<ExitCode> {
  const begun = performance.now()
  await using folder = await makeFolder()
  const home = join(folder.path, 'agent')
  await mkdir(home)
  const options = { path: terminal.env['PATH'] ?? '', home, signal }
  const tools = await findTools(options)
  if ('missing' in tools) {
    line(terminal.stderr, `iron-proxy: the demo needs curl and git; not found: ${tools.missing}. Install it and try again`)
    return exit.unavailable
  }
  await using stage = await setStage(folder.path, tools, terminal, options)
  const show = createShow(terminal)
  show.opening(stage)
  let asSaid = 0
  for (const [at, step] of steps.entries()) {
    const told = await tryStep(step, stage)
    if (Object.values(told.held).every(Boolean)) asSaid += 1
    show.step(at + 1, step, told)
  }
  show.closing(asSaid, steps.length, (performance.now() - begun) / 1000)
  return asSaid === steps.length ? exit.ok : exit.findings
}

/** A step that breaks off did not go as said; those after it may. */
async function tryStep(step: DemoStep, stage: Stage): Promise<Told> {
  try {
    return await step.act(stage)
  } catch (error) {
    stage.signal.throwIfAborted()
    // What it has caused is not the next one's.
    stage.upstream.newRequests()
    return { rows: [], held: { [`it broke off: ${(error as Error).message}`]: false } }
  }
}
