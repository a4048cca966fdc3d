/** Writes a case into a test file, so that what `explain` shows today is held tomorrow. */
import { Document, isMap, isSeq, parseDocument } from 'yaml'
import { withItems } from './append.ts'
import type { Judgment, Request } from './judge.ts'

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
  return hasCases(text) ? withItems(text, 'cases', (indent) => indented(item, indent)) : undefined
}

function hasCases(text: string): boolean {
  const cases = parseDocument(text).get('cases')
  return isSeq(cases) && cases.items.length > 0
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
