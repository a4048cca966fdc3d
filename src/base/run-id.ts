/** What a run id looks like, in words, for refusals. */
export const runIdForm = '1 to 128 letters, digits, dots, colons, hyphens and underscores'

/** True for a run id, whether an agent sends it (`X-Run-Id`) or an operator binds it: it goes into each record of the run. */
export function isRunId(text: string): boolean {
  return /^[\w.:-]{1,128}$/.test(text)
}
