import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { appendFile, mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { git } from './clients.ts'

// Random bytes neither shrink nor resemble each other: without these, git spends minutes finding that out.
const settings = `
[http]
	receivepack = true
[core]
	compression = 0
	bigFileThreshold = 1m
[pack]
	window = 0
[gc]
	auto = 0
`

const fileSize = 16 * 1024 * 1024
const blockSize = 65_536

/** Makes a bare repository whose branch `main` has one commit of `bytes` bytes that do not compress. */
export async function makeRepository(folder: string, bytes: number): Promise<void> {
  await mkdir(dirname(folder), { recursive: true })
  await git(['init', '--quiet', '--bare', '--initial-branch=main', folder])
  await appendFile(join(folder, 'config'), settings)
  await importCommit(folder, script(bytes, 'main', undefined))
}

/** Adds a commit of `bytes` such bytes to the branch of a working copy: something to push. */
export async function commitBytes(folder: string, bytes: number): Promise<void> {
  const branch = (await git(['symbolic-ref', '--short', 'HEAD'], { cwd: folder })).stdout.trim()
  await importCommit(folder, script(bytes, branch, `refs/heads/${branch}^0`))
  await git(['reset', '--hard', '--quiet'], { cwd: folder })
}

/** Writes objects straight into a pack: the only quick way to a large repository. Throws when git refuses. */
async function importCommit(folder: string, commands: Iterable<Buffer>): Promise<void> {
  const child = spawn(
    'git',
    ['-c', 'core.compression=0', '-c', 'core.bigFileThreshold=1m', '-c', 'fastimport.unpackLimit=0', 'fast-import', '--quiet'],
    {
      cwd: folder,
      env: { PATH: process.env['PATH'] ?? '', HOME: folder, GIT_CONFIG_NOSYSTEM: '1' },
      stdio: ['pipe', 'ignore', 'inherit'],
    },
  )
  const closed = once(child, 'close')
  await pipeline(Readable.from(commands), child.stdin)
  const [code] = await closed
  if (code !== 0) throw new Error(`git fast-import ended with ${code}`)
}

/** The stream that git-fast-import(1) reads: the files, then a commit that holds them. */
function* script(bytes: number, branch: string, parent: string | undefined): Generator<Buffer> {
  const count = Math.max(1, Math.ceil(bytes / fileSize))
  for (let file = 1; file <= count; file++) {
    const size = Math.min(fileSize, bytes - (file - 1) * fileSize)
    yield Buffer.from(`blob\nmark :${file}\ndata ${size}\n`)
    for (let at = 0; at < size; at += blockSize) yield randomBytes(Math.min(blockSize, size - at))
    yield Buffer.from('\n')
  }
  const name = randomBytes(4).toString('hex')
  yield Buffer.from(
    [
      `commit refs/heads/${branch}`,
      'committer agent <agent@example.com> 1700000000 +0000',
      `data ${name.length}`,
      name,
      ...(parent ? [`from ${parent}`] : []),
      ...Array.from({ length: count }, (_, i) => `M 100644 :${i + 1} ${name}-${i + 1}.bin`),
      '',
    ].join('\n'),
  )
}
