import { z } from 'zod';
import { type AsyncScreener, decodeText } from '../secrets/index.ts';
import { lineProblem } from './lines.ts';

// Rejects lines with secrets, which requests could not record either. Redacting them during the import would make texts differ from their hashes
// and from the original. Secrets that were redacted or blanked before the export are no longer in the file.

const base64 = z.string().regex(/^[A-Za-z0-9+/]*={0,2}$/);
const sealed = z.strictObject({
  kid: z.string().regex(/^[0-9a-f]{16}$/),
  iv: base64.length(16),
  data: base64,
  tag: base64.length(24),
});

/** `free`: fields with free text. All other fields hold names, which may be e-mail addresses under any policy. */
export async function rejectSecrets(
  screener: AsyncScreener,
  number: number,
  row: Record<string, unknown>,
  free: string[],
): Promise<void> {
  const words: Record<string, unknown> = {};
  const ids: Record<string, unknown> = {};
  for (const name in row) (free.includes(name) ? words : ids)[name] = row[name];
  if (words.content) words.content = withoutSealed(words.content as Record<string, unknown>);
  const [secret] = [...(await screener.findAsync(words, '', true)), ...screener.find(ids, '', false)];
  if (secret) throw lineProblem(number, `must not contain a secret: ${secret.kind}`, secret.pointer);
}

/** Screens an artifact that is text, as an upload does. */
export async function rejectSecretBytes(screener: AsyncScreener, number: number, bytes: Buffer): Promise<void> {
  const decoded = decodeText(bytes);
  const [secret] = decoded ? await screener.findAsync(decoded.text, '', true) : [];
  if (secret) throw lineProblem(number, `the artifact must not contain a secret: ${secret.kind}`);
}

/** Removes the encrypted copy of the secrets, which is unreadable without the key. */
function withoutSealed(content: Record<string, unknown>): Record<string, unknown> {
  if (!sealed.safeParse(content.sealed).success) return content;
  const { sealed: _, ...rest } = content;
  return rest;
}
