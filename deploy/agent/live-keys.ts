/**
 * Which files, and with `--env` which variables, hold what looks like a real key? Prints a line for each, never a value, and exits
 * 1 when there are some. The shapes are those that the proxy knows from its own policies.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { liveKey } from '#config/live-key.ts'

/** What is written there is code, documents and talk of others, where keys are often samples. */
const skipped = new Set(['.git', 'node_modules', 'projects', 'plugins', '.cache', '_cacache', '.bun', 'share', 'logs', 'todos'])

/** Bytes: no file of settings is longer. */
const longest = 1024 * 1024

function filesBelow(path: string): readonly string[] {
  const about = statSync(path, { throwIfNoEntry: false })
  if (about?.isFile()) return about.size <= longest ? [path] : []
  if (!about?.isDirectory()) return []
  return readdirSync(path, { withFileTypes: true })
    .filter((entry) => !skipped.has(entry.name) && !entry.isSymbolicLink())
    .flatMap((entry) => filesBelow(join(path, entry.name)))
}

/** Each word alone: one that says it is a stub excuses no other. */
function lookOf(text: string): string | undefined {
  const key = /-----BEGIN [A-Z ]*PRIVATE KEY-----/.exec(text)?.[0]
  return [...(key ? [key] : []), ...text.split(/[\s"'`,;<>(){}[\]]+/)].map(liveKey).find((look) => look !== undefined)
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    // Unreadable for us is unreadable for the agent.
    return ''
  }
}

const paths = process.argv.slice(2).filter((argument) => argument !== '--env')
const variables = process.argv.includes('--env') ? Object.entries(process.env) : []
const findings = [
  ...variables.map(([name, value = '']) => [`the variable ${name}`, lookOf(value)] as const),
  ...paths.flatMap((path) => filesBelow(path)).map((path) => [path, lookOf(textOf(path))] as const),
].filter(([, look]) => look !== undefined)

for (const [place, look] of findings) process.stdout.write(`${place} holds what looks real: ${look}\n`)
process.exitCode = findings.length > 0 ? 1 : 0
