/** What it throws. */
export function thrownBy(act: () => unknown): Error {
  try {
    act()
  } catch (error) {
    return error as Error
  }
  throw new Error('nothing was thrown')
}

/** Acts bound by the modes of files. Root is not, so as root it acts as a user of no rights. */
export function asNobody<Result>(act: () => Result): Result {
  const root = process.geteuid?.() === 0
  if (root) process.seteuid?.(65_534)
  try {
    return act()
  } finally {
    if (root) process.seteuid?.(0)
  }
}
