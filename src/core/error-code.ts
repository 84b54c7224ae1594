/** What the system calls an error: `ENOENT`. @returns undefined of errors that have no such name */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}
