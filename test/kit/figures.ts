/** Says a figure that a drill has measured, where whoever runs the tests reads it. */
export function figure(text: string): void {
  process.stdout.write(`    ${text}\n`)
}
