/**
 * What one agent may: read once, and said three times, to the proxy (`policy.ts`), to Claude Code (`claude.ts`) and to Kubernetes
 * (`rbac.ts`). The proxy is the boundary; the other two keep the agent from trying.
 */
import { z } from 'zod'
import { idField } from '#base/fields.ts'
import { parseHost } from '#base/host.ts'
import { parseHostPattern } from '#base/host-pattern.ts'
import { readYaml } from '#config/document.ts'
import { mistakes } from '#config/mistakes.ts'
import type { Issue } from '#config/issue.ts'
import { keysAt } from '#config/keys.ts'
import { issueAt } from '#config/part.ts'
import { parseGitScope } from '#policy/git.ts'

const hostField = z.string().refine((text) => parseHost(text) !== undefined, { error: 'write a host name' })
const patternField = z.string().check(({ value, issues }) => {
  const read = parseHostPattern(value)
  if (read.kind === 'refused') issues.push({ code: 'custom', message: read.reason, input: value })
})
const repositoryField = z.string().refine((text) => parseGitScope(text) !== undefined, {
  error: 'write "owner/name", with "*" for a whole part',
})
const words = z.array(z.string().min(1)).min(1)

/** A host with more to say about it: the proxy reads it as a rule of its own. */
const placeSchema = z.strictObject({
  host: patternField,
  methods: words.optional(),
  paths: words.optional(),
  secrets: z.array(idField).min(1).optional(),
  meter: idField.optional(),
})

/** What Claude Code offers to its model and can be denied by name. */
export const claudeTools = [
  'Bash',
  'Edit',
  'Glob',
  'Grep',
  'NotebookEdit',
  'Read',
  'Task',
  'WebFetch',
  'WebSearch',
  'Write',
] as const

/** Kubernetes resources that an agent may be given, by their API group. Secrets are not among them: agents hold stubs. */
export const resources = {
  pods: '',
  'pods/log': '',
  services: '',
  configmaps: '',
  events: '',
  persistentvolumeclaims: '',
  deployments: 'apps',
  statefulsets: 'apps',
  daemonsets: 'apps',
  replicasets: 'apps',
  jobs: 'batch',
  cronjobs: 'batch',
  ingresses: 'networking.k8s.io',
  networkpolicies: 'networking.k8s.io',
} as const

export type ClusterResource = keyof typeof resources

const resourceField = z.enum(Object.keys(resources) as [ClusterResource, ...ClusterResource[]])
const labelField = z.string().regex(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/, { error: 'write a Kubernetes name' })

const capabilitiesSchema = z
  .strictObject({
    version: z.literal(1),
    /** As the policy calls it, and its service account. */
    agent: labelField,
    /** Credentials of the policy that it may use; each is then named where it is used. */
    secrets: z.array(idField).default([]),
    hosts: z.array(z.union([patternField, placeSchema])).default([]),
    repositories: z
      .strictObject({
        host: hostField.default('github.com'),
        /** Of GitHub's REST API; GraphQL cannot be told apart by repository, and is not part of it. */
        api: hostField.optional(),
        secret: idField.optional(),
        fetch: z.array(repositoryField).default([]),
        push: z.array(repositoryField).default([]),
      })
      .refine(({ fetch, push }) => fetch.length + push.length > 0, { error: 'name a repository under fetch or push' })
      .optional(),
    matrix: z
      .strictObject({
        host: hostField,
        secret: idField.optional(),
        rooms: z
          .array(
            z
              .string()
              .regex(/^[!#][\x21-\x7e]{1,250}$/, { error: 'write a room as "!id:server", or its alias as "#name:server"' }),
          )
          .min(1),
      })
      .optional(),
    tools: z
      .array(
        z.union([
          z.enum(claudeTools),
          z.string().regex(/^mcp__[\w-]+$/, { error: 'write a tool of Claude Code, or mcp__SERVER' }),
        ]),
      )
      .default([]),
    kubernetes: z
      .strictObject({
        /** Where its service account is. */
        serviceAccountNamespace: labelField.default('agents'),
        namespaces: z.array(labelField).min(1),
        read: z.array(resourceField).default([]),
        change: z.array(resourceField).default([]),
      })
      .optional(),
  })
  .check(({ value, issues }) => {
    const wrong = (path: PropertyKey[], message: string) => issues.push({ code: 'custom', path, message, input: value })
    const given = (secret: string | undefined, path: PropertyKey[]) => {
      if (secret !== undefined && !value.secrets.includes(secret))
        wrong(path, `${JSON.stringify(secret)} is not among \`secrets\` of this agent`)
    }
    for (const [index, place] of value.hosts.entries()) {
      if (typeof place === 'object') for (const secret of place.secrets ?? []) given(secret, ['hosts', index, 'secrets'])
    }
    given(value.repositories?.secret, ['repositories', 'secret'])
    given(value.matrix?.secret, ['matrix', 'secret'])
    const web = value.tools.find((tool) => tool === 'WebFetch' || tool === 'WebSearch')
    if (web !== undefined && value.hosts.length === 0) wrong(['tools'], `${web} is of no use without \`hosts\``)
  })

export type Capabilities = z.output<typeof capabilitiesSchema>

/** Reads one file. What is wrong in it is an issue, with its place. */
export function readCapabilities(
  file: string,
  bytes: Buffer,
): { readonly capabilities: Capabilities | undefined; readonly issues: readonly Issue[] } {
  const yaml = readYaml(file, bytes)
  if (yaml.issues.length > 0) return { capabilities: undefined, issues: yaml.issues }
  const parsed = capabilitiesSchema.safeParse(yaml.data)
  if (parsed.success) return { capabilities: parsed.data, issues: [] }
  const known = (path: readonly PropertyKey[]) => keysAt(capabilitiesSchema, yaml.data, path)
  const issues = mistakes(parsed.error, yaml.data, known).map(({ path, message, key }) =>
    issueAt(yaml, 'error', path, message, key),
  )
  return { capabilities: undefined, issues }
}
