import { spawn } from 'node:child_process'
import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { Stripper } from '../../../deploy/agent/strip-ansi.ts'
import { have, run } from '../../kit/clients.ts'
import { makeRig, scripts, until } from './rig.ts'

function lines(...pieces: readonly string[]): readonly string[] {
  const out: string[] = []
  const stripper = new Stripper((line) => out.push(line))
  for (const piece of pieces) stripper.write(Buffer.from(piece))
  stripper.flush()
  return out
}

const esc = '\u001b'

describe('what a terminal shows becomes lines', () => {
  it.each([
    ['colours', `${esc}[1;31mred${esc}[0m text\r\n`, ['red text']],
    ['an OSC that BEL ends', `a${esc}]0;title\u0007b\n`, ['ab']],
    [
      'an OSC that ST ends, and text up to the next BEL',
      `a${esc}]8;;https://x${esc}\\link${esc}]8;;${esc}\\ b\u0007c\n`,
      ['alink bc'],
    ],
    ['an OSC that never ends', `a${esc}]0;${'x'.repeat(5000)}\nb\n`, ['axxx', 'b']],
    ['a DCS, in which BEL is nothing', `a${esc}Pq\u0007data${esc}\\b\n`, ['ab']],
    ['charsets and private sequences', `${esc}(B${esc})0${esc}=${esc}>${esc}[?25l${esc}[>4;2m${esc}[>0qx\n`, ['x']],
    ['a line that is written over', 'ten 10%\rten 50%\rten 99%\r\n', ['ten 99%']],
    ['spaces that are moves', `a${esc}[3Cb${esc}[Cc\n`, ['a   b c']],
    ['moves to other lines', `a${esc}[2;1Hb${esc}[1Ac\n`, ['a', 'b', 'c']],
    ['what is drawn again', 'same\nsame\n\n\nother\nsame\n', ['same', 'other', 'same']],
    ['backspace and bells', 'abd\bc\u0007\n', ['abc']],
  ])('%s', (_case, text, expected) => {
    const found = lines(text).map((line) => line.replace(/x{100,}/, 'xxx'))
    expect(found).toEqual(expected)
    // The same, however it is cut.
    expect(lines(...text.split('')).map((line) => line.replace(/x{100,}/, 'xxx'))).toEqual(expected)
  })

  it('keeps letters that a piece cuts in two', () => {
    const out: string[] = []
    const stripper = new Stripper((line) => out.push(line))
    for (const byte of Buffer.from('größer 👀\n')) stripper.write(Uint8Array.of(byte))
    expect(out).toEqual(['größer 👀'])
  })
})

describe.skipIf(!have('mkfifo'))('as a program (skipped when mkfifo is not installed)', () => {
  it('names the pane and the run, and writes a line that has no end yet after half a second', async () => {
    await using rig = await makeRig()
    const pipe = join(rig.folder, 'agent.pipe')
    const runFile = join(rig.folder, 'run.json')
    await run('mkfifo', [pipe])
    const child = spawn(process.execPath, [join(scripts, 'strip-ansi.ts'), runFile, pipe], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let out = ''
    child.stdout.on('data', (text: Buffer) => (out += text.toString()))
    appendFileSync(pipe, 'before\r\n')
    await until('the line before a run', () => out.includes('[agent] before\n'))
    await rig.write('run.json', '{"run_id": "0197"}')
    appendFileSync(pipe, 'continue? ')
    await until('the unfinished line', () => out.includes('[agent][run=0197] continue?\n'), 5000)
    child.kill('SIGTERM')
    await until('its end', () => child.exitCode === 0)
  })
})
