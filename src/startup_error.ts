// Messages for errors that keep the service or one of its commands from starting: a sentence with the remedy, never a stack.

const DIRECTORY_FAULTS = ['EACCES', 'ENOENT', 'EROFS', 'ENOTDIR', 'EPERM', 'EISDIR', 'ENOSPC'];

/** Returns the message for the operator. It may quote the text of a database error, because only the operator sees it. */
export function startupMessage(error: unknown): string {
  if (!(error instanceof Error)) return String((error as { message?: unknown })?.message ?? error);
  const { code, message } = error as Error & { code?: string };
  if (code === 'ECONNREFUSED' || code === 'ENOTFOUND' || code === 'EAI_AGAIN')
    return `The database cannot be reached (${message || code}). Start it, or correct PGHOST and PGPORT (or DATABASE_URL).`;
  if (code === '28P01' || code === '28000')
    return `The database rejects the login: ${message}. Correct PGUSER and PGPASSWORD (or POSTGRES_PASSWORD).`;
  if (code === '3D000') return `The database does not exist: ${message}. Create it, or correct PGDATABASE.`;
  if (code !== undefined && DIRECTORY_FAULTS.includes(code))
    return `The data directory cannot be created or written (${message}). Correct DATA_DIR, or its owner.`;
  return message;
}
