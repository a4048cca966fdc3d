/** The one place where the kit starts the product. */
import { PassThrough } from 'node:stream'
import type { z } from 'zod'
import { startApp, type App } from '#app.ts'
import type { Address } from '#base/address.ts'
import { settingsSchema } from '#config/settings-schema.ts'
import { createLog } from '#observe/log.ts'

/** Settings as they are written in a file. */
export type SettingsInput = z.input<typeof settingsSchema>

const any = { address: '127.0.0.1' as Address, port: 0 }

/**
 * Starts the product in this process; each line of its log goes to `onLog`. A door that is not named listens on a port
 * the system chooses, which settings cannot ask for. Throws what `startApp` throws, and a ZodError on wrong settings.
 */
export async function startTestApp(written: SettingsInput, onLog: (line: string) => void): Promise<App> {
  const parsed = settingsSchema.parse(written)
  const chosen = Object.keys(parsed.listen).filter((door) => !Object.hasOwn(written.listen ?? {}, door))
  const settings = { ...parsed, listen: { ...parsed.listen, ...Object.fromEntries(chosen.map((door) => [door, any])) } }
  return startApp(settings, {
    log: createLog(settings.log.level, { write: onLog }),
    version: '0.0.0',
    revision: 'test',
    node: process.version,
    env: {},
    // Nobody reads it: audit goes to a file.
    stdout: new PassThrough().resume(),
    uid: process.getuid?.(),
  })
}
