/**
 * A proxy of anybody's, told by a JSON file: `npm run bench -- --contender theirs.json`.
 *
 *   {"name": "theirs", "way": "connect", "command": ["theirs", "--port={port}", "--ca={ca}", "--ca-key={caKey}"]}
 */
import { spawnSync } from 'node:child_process'
import { z } from 'zod'
import { warmNode } from './types.ts'
import type { Contender } from './types.ts'

const placeholders = ['port', 'ca', 'caKey', 'upstreamCa', 'upstream', 'folder'] as const
type Placeholder = (typeof placeholders)[number]

const argument = z.string().refine((text) => unknownIn(text).length === 0, {
  error: ({ input }) =>
    `there is no {${unknownIn(String(input)).join('}, {')}}; there is ${placeholders.map((each) => `{${each}}`).join(' ')}`,
})

const schema = z.strictObject({
  name: z.string().min(1),
  /** `connect`: it is asked for tunnels; `tls`: it takes TLS as the host itself would. */
  way: z.enum(['connect', 'tls']),
  /** `{port}` on loopback, `{ca}` and `{caKey}` to sign with, `{upstreamCa}` to trust, `{upstream}` for one that knows one only. */
  command: z.array(argument).min(1),
  /** What says its version; the first line of it is shown. */
  version: z.array(z.string()).min(1).optional(),
  env: z.record(z.string(), argument).default({}),
  warm: z.int().min(0).max(1_000_000).default(warmNode),
  /** Whether it opens TLS and so sees what it carries. */
  opens: z.boolean().default(true),
})

export type Descriptor = z.output<typeof schema>

/** The descriptor in a file's text. Throws an Error that names each mistake with its place. */
export function readDescriptor(text: string, file: string): Descriptor {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new Error(`${file}: ${(error as Error).message}`, { cause: error })
  }
  const read = schema.safeParse(value)
  if (read.success) return read.data
  throw new Error(read.error.issues.map(({ path, message }) => `${file}: ${path.join('.')}: ${message}`).join('\n'))
}

/** Each `{placeholder}` of a text in place of its value. */
export function fill(text: string, values: Readonly<Record<Placeholder, string>>): string {
  return placeholders.reduce((filled, each) => filled.replaceAll(`{${each}}`, values[each]), text)
}

let next = 9120

/** The contender that a descriptor tells of. */
export function external({ name, way, command, version, env, warm, opens }: Descriptor): Contender {
  const port = (next += 1)
  return {
    name,
    way,
    warm,
    opens,
    version() {
      const [program = '', ...rest] = version ?? ['sh', '-c', 'command -v "$0"', command[0] ?? '']
      const { status, stdout, stderr } = spawnSync(program, rest)
      const [line = ''] = `${stdout?.toString() ?? ''}${stderr?.toString() ?? ''}`.trim().split('\n')
      return status === 0 ? line : undefined
    },
    start(stage, core, upstream) {
      const { ca, upstreamCa, folder } = stage
      const values = { port: String(port), ca: ca.cert, caKey: ca.key, upstreamCa, upstream, folder }
      const environment = Object.fromEntries(Object.entries(env).map(([key, text]) => [key, fill(text, values)]))
      return stage.proxy(
        core,
        port,
        command.map((each) => fill(each, values)),
        { env: environment },
      )
    },
  }
}

function unknownIn(text: string): readonly string[] {
  return [...text.matchAll(/\{(\w+)\}/g)]
    .map(([, name = '']) => name)
    .filter((name) => !(placeholders as readonly string[]).includes(name))
}
