/**
 * The mode, as `chmod` writes it, of a file that lets others at what it holds; `undefined`: it is private. The one
 * exception is a file of another owner that reaches us through its group, as a Kubernetes secret does under `fsGroup`;
 * it is made only when `ourUid`, the user we run as, is given.
 */
export function openToOthers(
  file: { readonly mode: number; readonly uid: number },
  ourUid: number | undefined,
): string | undefined {
  const reading = ourUid !== undefined && file.uid !== ourUid ? 0o040 : 0
  if ((file.mode & 0o077 & ~reading) === 0) return undefined
  return (file.mode & 0o777).toString(8).padStart(4, '0')
}
