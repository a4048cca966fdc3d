/** Is there anything here that an agent must not hold? Names and places are told, never a value. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { liveKey } from '#config/live-key.ts'
import { fail, failuresOr, pass, type Finding } from './finding.ts'

/** Where programs keep what they log in with, below the home directory. */
const files = [
  '.git-credentials',
  '.netrc',
  '.npmrc',
  '.pypirc',
  '.aws/credentials',
  '.claude/.credentials.json',
  '.claude.json',
  '.codex/auth.json',
  '.gemini/oauth_creds.json',
  '.config/gh/hosts.yml',
  '.config/git/credentials',
  '.docker/config.json',
  '.kube/config',
  '.ssh/id_ed25519',
  '.ssh/id_rsa',
  '.env',
] as const

/** More than any of them has; what is longer is something else. */
const longest = 1 << 20

export function checkEnvironment(env: Readonly<Record<string, string | undefined>>): readonly Finding[] {
  const found = Object.entries(env).flatMap(([name, value]) => {
    const looksLike = liveKey(value ?? '')
    return looksLike === undefined
      ? []
      : [
          fail(
            'secrets',
            `the variable ${name} holds ${looksLike}`,
            'give it the stub of the policy, and replace the key: it was seen',
          ),
        ]
  })
  return failuresOr(found, pass('secrets', 'no variable looks like a live key'))
}

export async function checkFiles(home: string, serviceAccount: string): Promise<readonly Finding[]> {
  const found = await Promise.all(
    files.map(async (name) => {
      const looksLike = liveKey(await contentOf(join(home, name)))
      return looksLike === undefined
        ? []
        : [
            fail(
              'secret-files',
              `~/${name} holds ${looksLike}`,
              'replace it by the stub file of `policies/examples/stubs`, and replace the key: it was seen',
            ),
          ]
    }),
  )
  const token = await contentOf(serviceAccount)
  const mounted =
    token === ''
      ? []
      : [
          fail(
            'service-account',
            'a ServiceAccount token is mounted: whoever takes the agent over can ask the cluster',
            'set automountServiceAccountToken: false',
          ),
        ]
  return [
    ...failuresOr(found.flat(), pass('secret-files', `none of ${files.length} files in the home directory holds a live key`)),
    ...failuresOr(mounted, pass('service-account', 'no ServiceAccount token is mounted')),
  ]
}

async function contentOf(path: string): Promise<string> {
  try {
    return (await readFile(path, 'utf8')).slice(0, longest)
  } catch {
    return ''
  }
}
