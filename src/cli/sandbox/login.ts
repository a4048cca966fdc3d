/** The real login or key of a program, moved into the vault once. The program itself never sees it. */
import { constants, existsSync } from 'node:fs'
import { copyFile, mkdir, open, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline/promises'
import type { ReadStream } from 'node:tty'
import { exit, CommandFailure, line } from '../command.ts'
import type { Terminal } from '../command.ts'
import type { Login, Profile } from './profiles.ts'

/** How the user answered: which login has a value now; `undefined`: none, and the program does without. */
export async function ensureLogin(
  profile: Profile,
  policies: string,
  { terminal, take, program }: { readonly terminal: Terminal; readonly take: boolean; readonly program: string },
): Promise<Login> {
  const known = profile.logins.find(({ secret }) => existsSync(join(policies, secret)))
  if (known) return known
  const { env, stderr } = terminal
  for (const login of profile.logins) {
    const key = login.variable === undefined ? undefined : env[login.variable]
    if (!key) continue
    await keep(join(policies, login.secret), key.trim())
    line(
      stderr,
      `iron-proxy: ${login.variable} is in the vault now (${join(policies, login.secret)}); unset it outside the sandbox`,
    )
    return login
  }
  for (const login of profile.logins) {
    const file = login.homeFile === undefined ? undefined : join(env['HOME'] ?? '/', login.homeFile)
    if (file === undefined || !existsSync(file)) continue
    const yes =
      take ||
      (await asked(terminal, `Move ${file} into the vault? ${program} outside the sandbox will ask for a login again. [y/N] `))
    if (!/^y/i.test(String(yes)) && yes !== true) continue
    await move(file, join(policies, login.secret))
    await adopt(profile, policies, login)
    line(stderr, `iron-proxy: moved ${file} to ${join(policies, login.secret)}`)
    return login
  }
  const byKey = profile.logins.find(({ variable }) => variable !== undefined)
  const key = byKey && (await asked(terminal, `${byKey.variable} for ${program}: `))
  if (byKey && typeof key === 'string' && key.trim() !== '') {
    await keep(join(policies, byKey.secret), key.trim())
    return byKey
  }
  throw new CommandFailure(`there is no login or key for ${program}: ${waysOf(profile, policies).join('; ')}`, exit.config)
}

async function adopt({ adopt: change, example }: Profile, policies: string, { secret }: Login): Promise<void> {
  const file = join(policies, example)
  if (!change || !existsSync(file)) return
  await writeFile(file, change(await readFile(join(policies, secret), 'utf8'), await readFile(file, 'utf8')))
}

function waysOf({ logins }: Profile, policies: string): readonly string[] {
  return logins.flatMap(({ variable, homeFile, secret }) => [
    ...(variable === undefined ? [] : [`set ${variable}`, `or put the key into ${join(policies, secret)}`]),
    ...(homeFile === undefined ? [] : [`log in outside the sandbox, so that ~/${homeFile} is there, and give --take-login`]),
  ])
}

/** `undefined`: there is nobody to ask. */
async function asked({ stdin, stderr }: Terminal, question: string): Promise<string | undefined> {
  if (!(stdin as Partial<ReadStream>).isTTY) return undefined
  const prompt = createInterface({ input: stdin, output: stderr })
  return prompt.question(question).finally(() => prompt.close())
}

async function keep(file: string, value: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 })
  await writeFile(file, `${value}\n`, { flag: 'wx', mode: 0o600, flush: true })
}

/** The copy is on the disk before the original is gone. */
async function move(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true, mode: 0o700 })
  await copyFile(from, to, constants.COPYFILE_EXCL)
  await using file = await open(to, 'r+')
  await file.chmod(0o600)
  await file.sync()
  await rm(from)
}
