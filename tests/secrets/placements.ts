import { message } from '../support/client.ts';
import type { Sample } from './samples.ts';

// The fields in which a client may send a secret, and the forms in which it could be on a disk.

const lorem = 'The build printed this line and went on with the next of its many steps. ';

export const halvesOf = (secret: string): string[] => {
  const half = Math.floor(secret.length / 2);
  return half < 10 ? [] : [secret.slice(0, half), secret.slice(half)];
};

/** Returns the secret broken over lines as in source code. */
export function brokenOf({ text, secret }: Sample): string {
  const half = Math.floor(secret.length / 2);
  return text.replace(secret, () => `${secret.slice(0, half)}" +\n  "${secret.slice(half)}`);
}

/** Returns events with the same secret in each field that a client may set. */
export function placements(sample: Sample): Record<string, unknown>[] {
  const { text } = sample;
  return [
    message(text),
    message('nested', { content: { text: 'nested', deep: [{ er: { note: text } }], [`name ${text}`]: true } }),
    message(brokenOf(sample)),
    message('in the metadata', { metadata: { note: [text] } }),
    message('as lines', { content: { text: 'lines', lines: ['first', text, 'last'] } }),
    {
      ...message(''),
      actor: { type: 'tool', id: 'shell' },
      kind: 'tool_result',
      content: { tool: 'shell', excerpt_text: `$ env\n${text}\n$ exit` },
    },
  ];
}

export const large = (samples: Sample[]) => ({
  ...message(''),
  actor: { type: 'tool', id: 'shell' },
  kind: 'tool_result',
  content: {
    tool: 'shell',
    excerpt_text: samples
      .map(({ text }) => `${lorem.repeat(64)}\n${text}\n`)
      .join('')
      .padEnd(240_000, lorem),
  },
});

/** Returns the secret as it is, escaped, in hex, and in Base64 at each of the three alignments. */
export function formsOf(secret: string): string[] {
  const base64 = [0, 1, 2].map((shift) =>
    Buffer.from('x'.repeat(shift) + secret)
      .toString('base64')
      .slice(4, -4),
  );
  return [secret, JSON.stringify(secret).slice(1, -1), ...base64, Buffer.from(secret).toString('hex')].filter(
    (form) => form.length > 7,
  );
}
