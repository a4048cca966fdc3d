/** Writes a case into a test file, so that what `explain` shows today is held tomorrow. */
import { Document, isMap, isSeq, parseDocument } from 'yaml'
import type { Judgment } from './judge.ts'
import type { Request } from './judge.ts'

/**
 * The text of a test file with one more case at its end; everything else in it stays as it is, byte for byte. `undefined`:
 * it has no list of cases. A new file names `policy`, where the policy is not in the directory of the file.
 */
export function withCase(
  text: string | undefined,
  agent: string,
  request: Pick<Request, 'method' | 'url'>,
  judgment: Judgment,
  policy?: string,
): string | undefined {
  const item = caseText(agent, request, judgment)
  if (text === undefined) {
    const named = policy === undefined ? '' : `policy: ${JSON.stringify(policy)}\n`
    return `version: 1\n${named}\ncases:\n${indented(item, '  ')}`
  }
  const { contents } = parseDocument(text)
  const cases = isMap(contents) ? contents.get('cases') : undefined
  if (!isSeq(cases) || cases.flow || !cases.range) return undefined
  const [start, end] = cases.range
  const indent = /[ \t]*$/.exec(text.slice(0, start))?.[0] ?? ''
  const ended = text.slice(0, end).replace(/\s*$/, '')
  // What stands behind the last case on its line is a comment.
  const [rest = ''] = /^[^\n]*/.exec(text.slice(ended.length)) ?? []
  const at = ended.length + rest.length
  return `${text.slice(0, at)}\n${indented(item, indent)}${text.slice(at + 1)}`
}

function caseText(agent: string, { method, url }: Pick<Request, 'method' | 'url'>, judgment: Judgment): string {
  const { verdict, code, rule, credentials, meter } = judgment
  const expect = {
    verdict,
    ...(code !== undefined && { code }),
    ...(rule && { rule: rule.id }),
    ...(credentials.length > 0 && { credentials }),
    ...(meter !== undefined && { meter }),
  }
  const document = new Document([{ agent, ...(method !== 'GET' && { method }), url, expect }])
  const node = document.getIn([0, 'expect'])
  if (isMap(node)) node.flow = true
  return document.toString({ lineWidth: 0, flowCollectionPadding: false })
}

function indented(text: string, indent: string): string {
  return text.replaceAll(/^(?=.)/gm, indent)
}
