/** Lines of every kind that a timeline is made of: files, NATS, the running proxy. */
import { createReadStream, existsSync } from 'node:fs'
import type { Settings } from '#config/settings-schema.ts'
import { oldFiles } from '#observe/rotation.ts'
import { fileFault } from '#base/file-fault.ts'
import { exit, CommandFailure } from '../command.ts'
import { linesOfFile, linesOfProxy } from '../logs/sources.ts'
import type { LogLines } from '../logs/sources.ts'

/** What the command line names, in place of the settings. */
export interface Named {
  readonly audit: string | undefined
  readonly events: readonly string[] | undefined
  readonly memory: string | undefined
}

interface Places {
  readonly audit: string | undefined
  readonly others: readonly string[]
}

function placesOf({ audit, runs }: Settings, named: Named): Places {
  for (const file of [named.audit, ...(named.events ?? []), named.memory])
    if (file !== undefined && !existsSync(file))
      throw new CommandFailure(`${file}: cannot be read: it is not there`, exit.noInput)
  const file = named.audit ?? audit.file
  return {
    audit: file !== undefined && existsSync(file) ? file : undefined,
    others: [...(named.events ?? runs.events), named.memory ?? runs.memory ?? ''].filter(
      (each) => each !== '' && existsSync(each),
    ),
  }
}

/** Hands over every line there is. Throws `Failure`. */
export async function eachLine(settings: Settings, named: Named, take: (line: string) => void): Promise<void> {
  const { audit, others } = placesOf(settings, named)
  if (audit === undefined) (await linesOfProxy(settings)()).forEach(take)
  else for (const file of [...(await oldFiles(audit)), audit]) await eachLineOf(file, take)
  for (const file of others) await eachLineOf(file, take)
}

/** What is new at each call, the first time what is at hand. */
export function newLines(settings: Settings, named: Named): LogLines {
  const { audit, others } = placesOf(settings, named)
  const sources = [audit === undefined ? linesOfProxy(settings) : linesOfFile(audit), ...others.map(linesOfFile)]
  return async () => (await Promise.all(sources.map((lines) => lines()))).flat()
}

const chunkBytes = 1024 * 1024

/** Lines by a search for their ends in large pieces: `readline` takes four times as long. */
async function eachLineOf(file: string, take: (line: string) => void): Promise<void> {
  let rest = ''
  try {
    for await (const chunk of createReadStream(file, { encoding: 'utf8', highWaterMark: chunkBytes })) {
      const lines = (rest + String(chunk)).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) take(line)
    }
  } catch (error) {
    throw new CommandFailure(`${file}: cannot be read: ${fileFault(error)}`, exit.noInput)
  }
}
