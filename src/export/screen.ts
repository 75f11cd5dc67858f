import { z } from 'zod';
import { type AsyncScreener, decodeText } from '../secrets/index.ts';
import { lineProblem } from './lines.ts';

// A file may hold what nobody could record: a secret in clear is refused with its line. Redacting it here would leave texts that
// differ from their hashes and from what was exported. What was redacted or blanked before it was exported holds none any more.

const base64 = z.string().regex(/^[A-Za-z0-9+/]*={0,2}$/);
const sealed = z.strictObject({
  kid: z.string().regex(/^[0-9a-f]{16}$/),
  iv: base64.length(16),
  data: base64,
  tag: base64.length(24),
});

/** `free`: what clients write freely. Every other text names something, and may be a mail address whatever the policy says. */
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
  const [found] = [...(await screener.findAsync(words, '', true)), ...screener.find(ids, '', false)];
  if (found) throw lineProblem(number, `contains a secret: ${found.kind}`, found.pointer);
}

/** An artifact that is text, as when it is uploaded. */
export async function rejectSecretBytes(screener: AsyncScreener, number: number, bytes: Buffer): Promise<void> {
  const decoded = decodeText(bytes);
  const [found] = decoded ? await screener.findAsync(decoded.text, '', true) : [];
  if (found) throw lineProblem(number, `the artifact contains a secret: ${found.kind}`);
}

/** The copy under a key, which nobody reads without it. */
function withoutSealed(content: Record<string, unknown>): Record<string, unknown> {
  if (!sealed.safeParse(content.sealed).success) return content;
  const { sealed: _, ...rest } = content;
  return rest;
}
