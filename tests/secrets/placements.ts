import { message } from '../support/client.ts';
import type { Sample } from './samples.ts';

// Where a client may put a secret, and the forms in which it could lie on a disk.

const lorem = 'The build printed this line and went on with the next of its many steps. ';

export const halvesOf = (secret: string): string[] => {
  const half = Math.floor(secret.length / 2);
  return half < 10 ? [] : [secret.slice(0, half), secret.slice(half)];
};

/** As code has it that does not fit into a line. */
export function brokenOf({ text, secret }: Sample): string {
  const half = Math.floor(secret.length / 2);
  return text.replace(secret, () => `${secret.slice(0, half)}" +\n  "${secret.slice(half)}`);
}

/** The same secret wherever a client may put one. */
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

/** As it is, and as it would stand in base64 or hex at each of three places, or escaped. */
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
