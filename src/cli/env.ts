import { dirname, join, resolve } from 'node:path'
import { AuthorityError } from '#ca/authority.ts'
import { bundlePem } from '#ca/bundle.ts'
import { firstTrust } from '#ca/first.ts'
import { javaTrustStore, storePassword } from '#ca/java-store.ts'
import { exit, line, UsageError } from './command.ts'
import type { Command } from './command.ts'
import { writeNamed } from './files.ts'
import { readSettings, settingHelp, settingOptions } from './settings.ts'

/** Variables that replace a client's trust store: they get the whole bundle. */
const replacing = [
  'SSL_CERT_FILE', // OpenSSL, Go, Python ssl, Ruby, Rust (rustls-native-certs)
  'CURL_CA_BUNDLE', // curl
  'GIT_SSL_CAINFO', // git
  'REQUESTS_CA_BUNDLE', // Python requests
  'PIP_CERT', // pip
  'AWS_CA_BUNDLE', // AWS CLI and SDKs
  'CARGO_HTTP_CAINFO', // cargo
  'NPM_CONFIG_CAFILE', // npm
  'GRPC_DEFAULT_SSL_ROOTS_FILE_PATH', // gRPC core
  'DENO_CERT', // Deno
  'NIX_SSL_CERT_FILE', // Nix
] as const

/** Variables that add to what a client trusts anyway. */
const adding = ['NODE_EXTRA_CA_CERTS'] as const

/** Not printed here, but set beside them by who follows the start banner. */
const ofProxies = ['HTTPS_PROXY'] as const

/** Node's own fetch knows of proxies only when this says so; without a proxy it changes nothing. */
const ofNode = { NODE_USE_ENV_PROXY: '1' } as const

/** Clients that take no bundle from a variable, and what each is given beside it. */
const besideNames = ['WGETRC', 'JAVA_TOOL_OPTIONS'] as const

/** Writes the files of those clients beside the bundle, and gives their variables. */
export async function besideBundle(bundle: string, pem: string): Promise<Readonly<Record<(typeof besideNames)[number], string>>> {
  const wgetrc = join(dirname(bundle), 'wgetrc')
  const store = join(dirname(bundle), 'bundle.jks')
  await writeNamed(wgetrc, `ca_certificate = ${bundle}\n`)
  await writeNamed(store, javaTrustStore(pem, Date.now()))
  return {
    WGETRC: wgetrc,
    JAVA_TOOL_OPTIONS: `-Djavax.net.ssl.trustStore=${store} -Djavax.net.ssl.trustStorePassword=${storePassword}`,
  }
}

/** What makes clients trust the proxy, by name: variables that name a bundle of certificates. */
export function trustVariables(bundle: string, ours: string): Readonly<Record<string, string>> {
  return Object.fromEntries([...replacing.map((name) => [name, bundle]), ...adding.map((name) => [name, ours])])
}

export const env: Command = {
  name: 'env',
  summary: 'print the variables that make clients trust the proxy',
  usage: '[options]',
  options: {
    ...settingOptions,
    bundle: { type: 'string' },
    format: { type: 'string' },
    unset: { type: 'boolean' },
    json: { type: 'boolean' },
  },
  help: {
    ...settingHelp,
    bundle: 'where the bundle is (default: written beside the CA certificate)',
    format: 'shell (default), k8s or dotenv',
    unset: 'print what takes the variables away again',
    json: 'for scripts',
  },
  settings: ['config', 'ca-cert', 'ca-key'],
  examples: [
    'eval "$(iron-proxy env)"',
    'eval "$(iron-proxy env --unset)"',
    'iron-proxy env --format k8s --bundle /etc/iron-proxy/ca.crt',
  ],
  async run(input, terminal) {
    const { bundle, format = 'shell', unset, json, ...values } = input.values
    if (unset) {
      line(
        terminal.stdout,
        `unset ${[...Object.keys(trustVariables('', '')), ...besideNames, ...Object.keys(ofNode), ...ofProxies].join(' ')}`,
      )
      return exit.ok
    }
    if (!isFormat(format)) throw new UsageError(`--format takes ${Object.keys(formats).join(', ')}`)
    const { settings } = await readSettings({ ...input, values }, terminal)
    if (!settings) return exit.config
    let file = typeof bundle === 'string' ? bundle : undefined
    let ours = file
    let beside: Readonly<Record<string, string>> = {}
    try {
      if (file === undefined) {
        const { cert: certPath, key: keyPath } = settings.ca
        // Before the first start there is no CA yet: the one that is made here is the one that the proxy finds.
        const trust = await firstTrust({ certPath, keyPath, now: Date.now(), uid: terminal.uid }, () =>
          line(terminal.stderr, `iron-proxy: made a new CA, ${certPath}`),
        )
        file = resolve(join(dirname(settings.ca.cert), 'bundle.crt'))
        const pem = bundlePem(trust.ours)
        await writeNamed(file, pem)
        beside = await besideBundle(file, pem)
        // While a root is being replaced, ours are two.
        ours = trust.others.length > 0 ? file : resolve(settings.ca.cert)
      }
    } catch (error) {
      if (!(error instanceof AuthorityError)) throw error
      line(terminal.stderr, `iron-proxy: ${error.message}`)
      return error.code === 'ca_missing' ? exit.noInput : exit.config
    }
    const variables = { ...trustVariables(file, ours ?? file), ...beside, ...ofNode }
    line(
      terminal.stdout,
      json
        ? JSON.stringify(variables, null, 2)
        : Object.entries(variables)
            .map(([name, value]) => formats[format](name, value))
            .join('\n'),
    )
    return exit.ok
  },
}

/** A variable as each reader wants it. */
const formats = {
  shell: (name: string, value: string) => `export ${name}='${value.replaceAll("'", `'\\''`)}'`,
  k8s: (name: string, value: string) => `- {name: ${name}, value: ${JSON.stringify(value)}}`,
  dotenv: (name: string, value: string) => `${name}=${value}`,
} as const

function isFormat(text: string | boolean): text is keyof typeof formats {
  return typeof text === 'string' && Object.hasOwn(formats, text)
}
