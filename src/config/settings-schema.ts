/** The process settings, each with its default: what `check --print` and `run --help` show. */
import { availableParallelism } from 'node:os'
import { z } from 'zod'
import { parseAddress, parseCidr } from '#base/address.ts'
import type { Address } from '#base/address.ts'
import { parseEndpoint } from '#base/endpoint.ts'
import type { Endpoint } from '#base/endpoint.ts'
import { parsedField } from '#base/fields.ts'
import { parseHost } from '#base/host.ts'
import type { Host } from '#base/host.ts'
import { longestSocketPath, parseSocketPlace } from '#base/listen-place.ts'
import type { SocketPlace } from '#base/listen-place.ts'
import { isRedisPlace, parseRedisPlace } from '#store/redis/place.ts'

/** Where a door listens. */
export type Listen = { readonly address: Address; readonly port: number } | 'off'

/** Where the admin door listens: operators of this machine find a socket in the file system, others need a port. */
export type AdminListen = Listen | SocketPlace

/** In the working directory, beside the state: a shorter path fits into `sun_path` wherever that directory is. */
export const adminSocket = '.iron-proxy/admin.sock'

const loopback = '127.0.0.1' as Address

/** A port alone is one on loopback: opening a door to others is said in full. */
function listenField(port: number, description: string) {
  return z
    .union([z.string(), z.int(), z.literal(false)])
    .default(`${loopback}:${port}`)
    .transform((value, context): Listen => parsedPlace(value) ?? refuse(value, 'a port, address:port, or off', context))
    .meta({ description })
}

function adminField(description: string) {
  return z
    .union([z.string(), z.int(), z.literal(false)])
    .default(`unix:${adminSocket}`)
    .transform((value, context): AdminListen => {
      const text = String(value)
      if (!text.startsWith('unix:'))
        return parsedPlace(value) ?? refuse(value, 'unix:PATH, a port, address:port, or off', context)
      return parseSocketPlace(text) ?? refuse(value, `unix: and a path of at most ${longestSocketPath} bytes`, context)
    })
    .meta({ description })
}

function parsedPlace(value: string | number | false): Listen | undefined {
  if (value === false || value === 'off') return 'off'
  const text = String(value)
  const endpoint = parseEndpoint(/^\d+$/.test(text) ? `${loopback}:${text}` : text)
  return endpoint?.port === undefined ? undefined : { address: endpoint.address, port: endpoint.port }
}

function refuse(value: unknown, expected: string, context: z.RefinementCtx): never {
  context.addIssue({ code: 'custom', message: `${JSON.stringify(value)} is not a place to listen; write ${expected}` })
  return z.NEVER
}

const fileField = z.string().min(1)
/** Where kubelet puts what a pod needs to speak with the API. */
const ofServiceAccount = '/var/run/secrets/kubernetes.io/serviceaccount'
const fixedHosts = z
  .record(z.string(), z.string())
  .default({})
  .transform((hosts, context): ReadonlyMap<Host, Endpoint> => {
    const fixed = new Map<Host, Endpoint>()
    for (const [name, place] of Object.entries(hosts)) {
      const host = parseHost(name)
      const endpoint = parseEndpoint(place)
      if (host && endpoint) fixed.set(host, endpoint)
      else
        context.addIssue({
          code: 'custom',
          path: [name],
          message: host ? `${JSON.stringify(place)} is not an address or address:port` : 'this is not a host name',
        })
    }
    return fixed
  })
const resolvers = z
  .union([z.string(), z.array(z.string())])
  .default('system')
  .transform((value, context): 'system' | readonly string[] => {
    if (value === 'system') return value
    const servers = [value].flat()
    const wrong = servers.find((server) => parseEndpoint(server) === undefined)
    if (servers.length > 0 && wrong === undefined) return servers
    context.addIssue({ code: 'custom', message: `${JSON.stringify(wrong ?? '')} is not a resolver; write system, or addresses` })
    return z.NEVER
  })
const stateField = z
  .string()
  .min(1)
  .superRefine((text, context) => {
    const place = isRedisPlace(text) ? parseRedisPlace(text) : undefined
    if (typeof place === 'string') context.addIssue({ code: 'custom', message: place })
  })

const natsSchema = z.strictObject({
  url: z
    .string()
    .regex(/^(?:nats|tls):\/\/[^@\s/?#]+$/, {
      error: 'write nats://host:4222 or tls://host:4222; who we are stands in `credentials`',
    })
    .optional()
    .meta({ description: 'Server whose JetStream gets the same records as events' }),
  subject: z
    .string()
    .regex(/^[\w-]+(?:\.[\w-]+)*$/, { error: 'write words with dots between them, without wildcards' })
    .default('swarm.events')
    .meta({ description: 'What the subjects of events begin with' }),
  stream: z
    .string()
    .regex(/^[\w-]+$/, { error: 'write letters, digits, "-" and "_"' })
    .default('SWARM_EVENTS')
    .meta({ description: 'Stream that is made where none takes these subjects' }),
  credentials: fileField.optional().meta({ description: 'File with NATS credentials (.creds)' }),
})

export const settingsSchema = z.strictObject({
  policies: fileField.default('policies/').meta({ description: 'Directory of policies, watched' }),
  listen: z
    .strictObject({
      dns: listenField(1053, 'DNS over UDP and TCP'),
      http: listenField(10080, 'Plain HTTP'),
      https: listenField(10443, 'TLS, routed by SNI'),
      proxy: listenField(8080, 'Explicit proxy: CONNECT and absolute-form'),
      metrics: listenField(9464, 'Metrics, health and the public CA bundle'),
      admin: adminField(
        'What operators do: status, budgets, logins, runs. unix:PATH, 0600, for the owner; TCP wants `adminToken`',
      ),
    })
    .prefault({}),
  advertise: parsedField(parseAddress, 'an address').prefault(loopback).meta({ description: 'What the DNS responder answers' }),
  service: z
    .string()
    .regex(/^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/, { error: 'write the DNS name of a Service' })
    .optional()
    .meta({ description: 'Name of the Service that leads agents here; start warns where `advertise` is not its address' }),
  adminToken: fileField.optional().meta({ description: 'File with the bearer token that admin asks for' }),
  ca: z
    .strictObject({
      cert: fileField.default('certs/ca.crt').meta({ description: 'Certificate of the CA; made on first run' }),
      key: fileField.default('certs/ca.key').meta({ description: 'Its key, mode 0600' }),
    })
    .prefault({}),
  state: stateField.default('.iron-proxy/state.db').meta({ description: 'File, or redis:// when more than one replica runs' }),
  sealKey: fileField.default('.iron-proxy/seal.key').meta({ description: 'Seals grants at rest' }),
  redis: z
    .strictObject({
      password: fileField.optional().meta({ description: 'File with the password of `state`' }),
      sentinelPassword: fileField.optional().meta({ description: 'File with the password of its Sentinels' }),
      ca: fileField.optional().meta({ description: 'Roots of its certificate, where it is not a public one' }),
      prefix: z
        .string()
        .regex(/^[\w.-]{1,64}$/, { error: 'write letters, digits, dots, hyphens and underscores' })
        .default('iron-proxy')
        .meta({ description: 'What all keys begin with; the same for every replica' }),
      journal: fileField.default('.iron-proxy/shared.journal').meta({
        description: 'What this replica knows of the shared state, to tell it again; one file each',
      }),
    })
    .prefault({}),
  replicas: z.int().min(1).max(100).default(1).meta({ description: 'How many run; more than one share `state`' }),
  workers: z
    .int()
    .min(1)
    .max(availableParallelism() * 4)
    .default(1)
    .meta({ description: 'Threads that serve; more than one needs Linux' }),
  upstream: z
    .strictObject({
      resolver: resolvers.meta({ description: 'system, or addresses' }),
      hosts: fixedHosts.meta({ description: 'Fixed addresses for names' }),
      ca: z.array(fileField).default([]).meta({ description: 'Files with extra roots trusted for upstreams' }),
      allowPrivate: z.array(parsedField(parseCidr, 'an address range')).default([]).meta({
        description: 'Ranges that may be dialled although they are private',
      }),
    })
    .prefault({}),
  whoami: z
    .union([z.boolean(), z.enum(['on', 'off'])])
    .default(true)
    .transform((value) => value === true || value === 'on')
    .meta({ description: 'Ask GitHub and Claude whose a credential is and what it may do' }),
  kubernetes: z
    .union([z.boolean(), z.enum(['on', 'off'])])
    .default(false)
    .transform((value) => value === true || value === 'on')
    .meta({ description: 'Watch pods to know which agent owns an address' }),
  kubernetesApi: z
    .strictObject({
      server: z
        .url({ protocol: /^https$/, error: 'write an https URL' })
        .optional()
        .meta({ description: 'Where the Kubernetes API is; left out: as the cluster tells its pods' }),
      token: fileField.default(`${ofServiceAccount}/token`).meta({ description: 'File with our token for the Kubernetes API' }),
      ca: fileField.default(`${ofServiceAccount}/ca.crt`).meta({ description: 'File with the roots of the Kubernetes API' }),
    })
    .prefault({}),
  audit: z
    .strictObject({
      stdout: z.boolean().default(true).meta({ description: 'One JSON line per exchange on standard output' }),
      file: fileField.optional().meta({ description: 'The same lines appended to a file' }),
      chain: z.boolean().default(false).meta({
        description: 'Chain the lines of `audit.file` by hashes and sign heads of the chain, for `iron-proxy audit verify`',
      }),
      signKey: fileField.default('.iron-proxy/audit.key').meta({ description: 'Ed25519 key of those heads; made on first run' }),
      signEvery: z
        .strictObject({
          records: z.int().min(1).max(1_000_000).default(1_000).meta({ description: 'Most records between two heads' }),
          seconds: z.int().min(1).max(3_600).default(60).meta({ description: 'Most seconds before a record is signed' }),
        })
        .prefault({}),
      rotate: z
        .strictObject({
          size: z.number().min(0).max(1_000_000).default(0).meta({
            description: 'MiB at which `audit.file` is moved away under its name and time; 0: never',
          }),
          keepFiles: z.int().min(0).max(100_000).default(0).meta({ description: 'Most old files that stay; 0: all' }),
          keepDays: z.int().min(0).max(10_000).default(0).meta({ description: 'Days that old files stay; 0: for good' }),
        })
        .prefault({}),
      nats: natsSchema.prefault({}),
      whenFull: z.enum(['drop', 'refuse']).default('drop').meta({
        description: 'When a sink takes no records: `drop` goes on and loses them, `refuse` answers 503 until it does',
      }),
    })
    .prefault({}),
  runs: z
    .strictObject({
      events: z.array(fileField).default([]).meta({ description: 'Files that agents’ hooks write of their runs' }),
      memory: fileField.optional().meta({ description: 'File of the crew’s memory, for the timelines of runs' }),
    })
    .prefault({}),
  shutdown: z
    .strictObject({
      lameDuck: z.int().min(0).max(300).default(5).meta({ description: 'Seconds new work is still taken after SIGTERM' }),
      deadline: z.int().min(0).max(3600).default(300).meta({ description: 'Seconds running streams may go on after that' }),
    })
    .prefault({}),
  budgetWebhook: z
    .url({ protocol: /^https?$/, error: 'write an http or https URL' })
    .optional()
    .meta({ description: 'Where budget alerts are posted, in the form of Alertmanager’s webhook' }),
  log: z
    .strictObject({
      level: z
        .enum(['trace', 'debug', 'info', 'warn', 'error', 'silent'])
        .default('info')
        .meta({ description: 'Least that is logged: trace, debug, info, warn, error, silent' }),
    })
    .prefault({}),
})

export type Settings = z.output<typeof settingsSchema>
