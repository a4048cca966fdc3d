/** How the demo looks. Real values are masked here and nowhere else, so that no step can print one. */
import { styleText } from 'node:util'
import { version } from '../about.ts'
import { line } from '../command.ts'
import type { Terminal } from '../command.ts'
import { hosts, policy, stubs } from './policy.ts'
import type { Stage } from './stage.ts'
import type { Row, DemoStep, Told } from './step.ts'

type Style = Parameters<typeof styleText>[0]

export interface Show {
  opening(stage: Stage): void
  step(number: number, step: DemoStep, told: Told): void
  closing(asSaid: number, of: number, seconds: number): void
}

export function createShow({ stdout, colour }: Pick<Terminal, 'stdout' | 'colour'>): Show {
  let masks: readonly (readonly [real: string, shown: string])[] = []
  const paint = (style: Style, text: string): string => (colour ? styleText(style, text, { validateStream: false }) : text)
  const say = (text = ''): void => line(stdout, text)

  /** Stubs and what is left of real values stand out from the rest. */
  function marked(text: string): string {
    const masked = masks.reduce((so, [real, shown]) => so.replaceAll(real, shown), text)
    const real = masks.reduce((so, [, shown]) => so.replaceAll(shown, paint('magenta', shown)), masked)
    return Object.values(stubs).reduce((so, stub) => so.replaceAll(stub, paint('yellow', stub)), real)
  }

  function row([who, text]: Row): void {
    const [first = '', ...rest] = text.split('\n')
    say(`     ${paint('dim', who.padEnd(15))}${marked(first)}`)
    for (const more of rest) say(`${' '.repeat(20)}${marked(more)}`)
  }

  return {
    opening({ ports, upstream, reals }) {
      masks = Object.values(reals).map((real) => [real, mask(real)])
      say(paint('bold', `iron-proxy ${version}: agents hold stubs, the proxy holds the secrets`))
      say('Real proxy, real servers, real curl and git, all on this machine. Nothing leaves it, and no key is needed.')
      say()
      row(['the proxy', `dns :${ports.dns}, https :${ports.https}, explicit proxy :${ports.proxy}, on 127.0.0.1`])
      row(['upstreams', `${hosts.join(', ')}:\na TLS server on 127.0.0.1:${upstream.port}`])
      row(['agent holds', Object.values(stubs).join(', ')])
      row(['proxy holds', Object.values(reals).join(', ')])
      say()
      say(`     ${paint('dim', 'the policy')}`)
      for (const each of policy.trimEnd().split('\n')) say(`     ${marked(each)}`)
    },

    step(number, { title }, { rows, held }) {
      const broken = Object.entries(held).filter(([, so]) => !so)
      const sign = broken.length === 0 ? paint('green', '✓') : paint('red', '✗')
      say()
      say(`${sign} ${paint('bold', `${String(number).padStart(2)} ${title}`)}`)
      for (const each of rows) row(each)
      for (const [said] of broken) row([paint('red', 'not as said'.padEnd(15)), said])
    },

    closing(asSaid, of, seconds) {
      const text = `${asSaid} of ${of} went as said, in ${seconds.toFixed(1)} s`
      say()
      say(paint(asSaid === of ? ['bold', 'green'] : ['bold', 'red'], text))
      if (asSaid === of) say('Next: README.md, or `npm start` to run the proxy with a policy of your own.')
    },
  }
}

/** Enough to tell two values apart, too little to use one. */
function mask(real: string): string {
  return `${real.slice(0, real.lastIndexOf('-') + 4)}…${real.slice(-3)}`
}
