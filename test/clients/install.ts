/** Clients come from their registries at the newest version, into a folder that stays: a later run looks for newer ones. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Installed } from './types.ts'

const fromNpm = [
  '@anthropic-ai/claude-code',
  '@openai/codex',
  '@google/gemini-cli',
  'opencode-ai',
  '@qwen-code/qwen-code',
  'cline',
  '@anthropic-ai/sdk',
  'openai',
  '@google/genai',
  'axios',
  'undici',
  'npm',
] as const

const fromPypi = ['anthropic', 'openai', 'google-genai', 'boto3', 'requests', 'httpx', 'aiohttp', 'pip'] as const

/** Where they lie; `IRON_PROXY_CLIENTS` names another folder. */
export const folder =
  process.env['IRON_PROXY_CLIENTS'] ?? join(import.meta.dirname, '..', '..', 'node_modules', '.cache', 'clients')

/** Installs what is missing or older. What a registry does not give is left out, and its clients say so. */
export function install(): void {
  const npm = join(folder, 'npm')
  mkdirSync(npm, { recursive: true })
  if (!existsSync(join(npm, 'package.json'))) writeFileSync(join(npm, 'package.json'), '{"private":true}\n')
  attempt('npm', ['install', '--no-audit', '--no-fund', '--no-save', ...fromNpm.map((name) => `${name}@latest`)], npm)
  const python = join(folder, 'python')
  if (!existsSync(join(python, 'bin', 'python'))) attempt('python3', ['-m', 'venv', python], folder)
  if (existsSync(join(python, 'bin', 'python')))
    attempt(join(python, 'bin', 'python'), ['-m', 'pip', 'install', '--quiet', '--upgrade', ...fromPypi], folder)
}

function attempt(program: string, args: readonly string[], cwd: string): void {
  try {
    execFileSync(program, args, { cwd, stdio: ['ignore', 'ignore', 'inherit'] })
  } catch {
    process.stderr.write(`${program} ${args.slice(0, 2).join(' ')} failed: what it did not install is left out\n`)
  }
}

/** What the last install left there. */
export function installed(): Installed {
  const modules = join(folder, 'npm')
  const python = join(folder, 'python', 'bin', 'python')
  return {
    bin: (name) => join(modules, 'node_modules', '.bin', name),
    modules,
    python,
    versions: { ...npmVersions(modules), ...pythonVersions(python) },
  }
}

function npmVersions(modules: string): Record<string, string> {
  return Object.fromEntries(
    fromNpm.flatMap((name) => {
      const file = join(modules, 'node_modules', name, 'package.json')
      return existsSync(file) ? [[`npm:${name}`, (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version]] : []
    }),
  )
}

function pythonVersions(python: string): Record<string, string> {
  if (!existsSync(python)) return {}
  const listed = execFileSync(python, ['-m', 'pip', 'list', '--format', 'json', '--disable-pip-version-check'], {
    encoding: 'utf8',
  })
  const all = JSON.parse(listed) as readonly { name: string; version: string }[]
  return Object.fromEntries(all.map(({ name, version }) => [`pypi:${name}`, version]))
}
