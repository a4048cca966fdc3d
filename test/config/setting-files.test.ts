import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { formatIssue } from '#config/issue.ts'
import { unusableFiles } from '#config/setting-files.ts'
import { settingsSchema } from '#config/settings-schema.ts'
import { testAuthority } from '../kit/ca.ts'

let folder: string
const at = (name: string) => join(folder, name)

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'iron-proxy-setting-files-'))
  await writeFile(at('text'), 'some text')
  await writeFile(at('root.crt'), testAuthority().certPem)
})

afterAll(() => rm(folder, { recursive: true }))

async function told(settings: object): Promise<readonly string[]> {
  return (await unusableFiles(settingsSchema.parse(settings))).map(formatIssue)
}

test('files that are there, and those that settings do not name, are no issue', async () => {
  expect(await told({})).toEqual([])
  const upstream = { ca: [at('root.crt')] }
  expect(
    await told({ adminToken: at('text'), audit: { file: at('audit.log') }, redis: { password: at('text') }, upstream }),
  ).toEqual([])
  expect(await told({ audit: { file: at('text') } })).toEqual([])
})

test('every file that cannot be used is told, with its setting and why', async () => {
  const settings = {
    adminToken: at('none'),
    redis: { password: folder, sentinelPassword: at('none'), ca: at('text') },
    upstream: { ca: [at('root.crt'), at('text')] },
    audit: { file: folder, nats: { credentials: at('none') } },
  }
  expect(await told(settings)).toEqual([
    `${at('none')} adminToken: cannot be used: it is not there (ENOENT)`,
    `${folder} redis.password: cannot be used: it is a directory (EISDIR)`,
    `${at('none')} redis.sentinelPassword: cannot be used: it is not there (ENOENT)`,
    `${at('text')} redis.ca: cannot be used: it holds no certificate in PEM`,
    `${at('text')} upstream.ca[1]: cannot be used: it holds no certificate in PEM`,
    `${at('none')} audit.nats.credentials: cannot be used: it is not there (ENOENT)`,
    `${folder} audit.file: cannot be used: it is a directory (EISDIR)`,
  ])
  expect(await told({ audit: { file: at('none/audit.log') } })).toEqual([
    `${at('none/audit.log')} audit.file: cannot be used: it is not there (ENOENT)`,
  ])
})
