import type { PolicyFile } from '#config/load.ts'
import { html, time } from './html.ts'
import type { Html } from './html.ts'
import type { PageSources } from './sources.ts'

/** Lines of a difference that are shown. */
const mostLines = 200

/** Remembers the files of the policy before the one in force. */
export class Before {
  #hash: string | undefined
  #now: readonly PolicyFile[] = []
  #before: readonly PolicyFile[] | undefined

  /** What a policy of another hash is compared with. `undefined`: it is the first. */
  files(hash: string | undefined, files: readonly PolicyFile[]): readonly PolicyFile[] | undefined {
    if (hash !== this.#hash) {
      this.#before = this.#hash === undefined ? undefined : this.#now
      this.#hash = hash
      this.#now = files
    }
    return this.#before
  }
}

export interface PolicyForm {
  readonly agent: string
  readonly method: string
  readonly url: string
}

export async function policyRest(sources: PageSources, before: Before, asked: PolicyForm): Promise<Html> {
  const { snapshot, issues, lastReload, explain } = sources
  const current = snapshot()
  const reload = lastReload()
  const changed = before.files(current?.hash, sources.sources())
  const agents = [...(current?.policy.agents.keys() ?? [])]
  const answer = asked.url === '' ? undefined : await explain(asked.agent, asked.method, asked.url)
  return html`<p>hash <code>${current?.hash ?? 'none'}</code></p>
    <p>
      last read
      ${time(reload?.at)}${reload && !reload.ok ? html`: <strong class="bad">refused, the policy before it is in force</strong>` : ''}
    </p>
    ${issues().map((issue) => html`<p class="warn">${issue}</p>`)}
    <form method="post" action="/do/reload"><button>Read it again</button></form>
    <h2>What would be decided</h2>
    <form method="get" action="/policy">
      <label
        >Agent
        <select name="agent">
          ${agents.map((id) => html`<option${id === asked.agent ? html` selected` : ''}>${id}</option>`)}
        </select></label
      >
      <label>Method <input name="method" size="8" value="${asked.method}" /></label>
      <label>URL <input name="url" size="40" value="${asked.url}" required /></label> <button>Explain</button>
    </form>
    ${answer === undefined ? '' : html`<pre id="explained">${answer}</pre>`}
    <h2>What changed</h2>
    ${changed === undefined ? html`<p class="none">nothing since this page was first opened</p>` : difference(changed, sources.sources())}
    <h2>Tests</h2>
    <pre>${await sources.tests()}</pre>`
}

/** Lines that a file lost or gained, wherever in it they stand. */
function difference(before: readonly PolicyFile[], now: readonly PolicyFile[]): Html {
  const linesOf = (files: readonly PolicyFile[], name: string) => textOf(files.find((each) => nameOf(each) === name)).split('\n')
  const names = [...new Set([...before, ...now].map(nameOf))]
  const lines = names.flatMap((name) => {
    const [old, young] = [linesOf(before, name), linesOf(now, name)]
    const gone = old.filter((line) => !young.includes(line)).map((line) => ({ mark: '-', line }))
    const come = young.filter((line) => !old.includes(line)).map((line) => ({ mark: '+', line }))
    return gone.length + come.length === 0 ? [] : [{ mark: '', line: name }, ...gone, ...come]
  })
  return html`<pre>
${lines.slice(0, mostLines).map(({ mark, line }) => html`<span class="${mark === '+' ? 'good' : mark === '-' ? 'bad' : 'faint'}">${mark} ${line}</span> `)}</pre>`
}

function nameOf(file: PolicyFile | undefined): string {
  return file?.file ?? ''
}

function textOf(file: PolicyFile | undefined): string {
  return file === undefined ? '' : file.bytes.toString('utf8')
}
