import { readFileSync } from 'node:fs';
import { z } from 'zod';

// The file that `npm run eval` measures with. docs/eval.md describes it.

const actor = z.union([
  z
    .string()
    .min(1)
    .transform((id) => ({ type: 'human' as const, id })),
  z.strictObject({ type: z.enum(['human', 'agent', 'tool']), id: z.string().min(1) }),
]);
const message = z.strictObject({
  id: z.string().min(1),
  actor,
  text: z.string().min(1),
  occurred_at: z.iso.datetime({ offset: true }).optional(),
  session_id: z.string().min(1).optional(),
});
const question = z
  .strictObject({
    query: z.string().min(1),
    /** Ids of the messages that answer the question. */
    evidence: z.array(z.string()).default([]),
    category: z.string().min(1).default('other'),
    /** Default: whether there is evidence. */
    answerable: z.boolean().optional(),
  })
  .refine(({ evidence, answerable }) => answerable === undefined || answerable === evidence.length > 0, {
    message: 'a question is answerable if and only if it has evidence',
    path: ['answerable'],
  });
const dialogue = z
  .strictObject({
    id: z.string().regex(/^[\w.-]{1,60}$/),
    messages: z.array(message).min(1),
    questions: z.array(question).min(1),
  })
  .superRefine(({ messages, questions }, context) => {
    const ids = new Set(messages.map(({ id }) => id));
    if (ids.size < messages.length) context.addIssue({ code: 'custom', path: ['messages'], message: 'each id must be unique' });
    for (const [i, { evidence }] of questions.entries())
      for (const [j, id] of evidence.entries())
        if (!ids.has(id))
          context.addIssue({
            code: 'custom',
            path: ['questions', i, 'evidence', j],
            message: `no message has the id ${JSON.stringify(id)}`,
          });
  });
const file = z
  .strictObject({ dialogues: z.array(dialogue).min(1) })
  .refine(({ dialogues }) => new Set(dialogues.map(({ id }) => id)).size === dialogues.length, {
    message: 'each id must be unique',
    path: ['dialogues'],
  });

export type Dialogue = z.output<typeof dialogue>;
export type Question = Dialogue['questions'][number];
export type Message = Dialogue['messages'][number];

/** Reads a file of dialogues. Throws an error that lists every fault with its place. */
export function readDialogues(path: string): Dialogue[] {
  const parsed = file.safeParse(readJson(path));
  if (parsed.success) return parsed.data.dialogues;
  const faults = parsed.error.issues.map(({ path: at, message: fault }) => `  ${at.join('/')}: ${fault}`);
  throw new Error(`${path} is not a file of dialogues:\n${faults.join('\n')}`);
}

function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new Error(`${path} cannot be read: ${(error as Error).message}`);
  }
}
