import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { fileFault } from '#base/file-fault.ts'
import { exit, CommandFailure } from './command.ts'

/** A file that the command line names. Throws `Failure`. */
export async function readNamed(file: string): Promise<Buffer> {
  try {
    return await readFile(file)
  } catch (error) {
    throw new CommandFailure(`${file}: cannot be read: ${fileFault(error)}`, exit.noInput)
  }
}

/** Writes what a command has made; folders are made on the way. Throws `Failure`. */
export async function writeNamed(file: string, text: string | Uint8Array): Promise<void> {
  try {
    await mkdir(dirname(file), { recursive: true })
    await writeFile(file, text)
  } catch (error) {
    throw new CommandFailure(`${file}: cannot be written: ${fileFault(error)}`, exit.cantCreate)
  }
}
