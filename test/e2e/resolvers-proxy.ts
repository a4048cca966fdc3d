/** The proxy of `resolvers.test.ts` and the resolver of the cluster, in a network namespace of their own. Says `ready`. */
import { makeWorkspace } from '../kit/workspace.ts'
import { startResolver } from '../kit/resolver.ts'
import { startTestApp } from '../kit/app.ts'

const [deny = '', server = '', advertise = '', forwarded = '', address = ''] = process.argv.slice(2)
const cluster = await startResolver({ [forwarded]: [address] })
const files = await makeWorkspace(
  `
version: 1
agents: {a: {from: [{cidr: 127.0.0.0/8}]}}
rules: [{id: good, hosts: ["*.good.test"]}]
dns:
  deny: ${deny}
  forward: [{zones: [cluster.local], to: ["127.0.0.1:${cluster.port}"]}]
  records: [{name: matrix.test, type: A, value: ${address}}]
`,
  [],
)
const app = await startTestApp(
  {
    policies: files.policies,
    listen: { dns: `${server}:53`, metrics: 'off', admin: 'off' },
    advertise,
    ca: { cert: files.caFile, key: files.caKeyFile },
    audit: { stdout: false },
    whoami: 'off',
  },
  (line) => process.stderr.write(line),
)
process.on('SIGTERM', () => {
  void app
    .stop()
    .then(() => files[Symbol.asyncDispose]())
    .finally(() => process.exit())
})
process.stdout.write('ready\n')
