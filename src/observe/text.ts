/** Text that others chose, made fit for a line that people read in a terminal and programs read as JSON. */

/** Cuts a text to `limit` characters, the last of them an ellipsis when something was cut. */
export function bounded(text: string, limit: number): string {
  return text.length <= limit ? text : `${text.slice(0, limit - 1)}…`
}

// Control bytes could forge a line or move a terminal's cursor, U+2028 and U+2029 end a line in some readers, and
// direction marks reorder what is shown. All that is not printable ASCII goes, so no list can miss one.
const unprintable = /[^\x20-\x7e]/g

/** JSON in printable ASCII only. For JSON readers it says the same. */
export function asciiJson(json: string): string {
  return json.replace(unprintable, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
