import { z } from 'zod';
import { nameOf } from '../http/name.ts';
import { jsonBody, key, namespace, object, put } from './schemas.ts';

// Requests with patches, and batches.

const pointer = z
  .string()
  .max(8000)
  .regex(/^(?:\/(?:[^~/]|~[01])*)*$/, 'must be a JSON pointer')
  .refine((text) => !text.split('/').includes('__proto__'), 'must not contain __proto__');
const valueOperation = <Op extends 'add' | 'replace' | 'test'>(op: Op) =>
  z.strictObject({ op: z.literal(op), path: pointer, value: jsonBody });
const fromOperation = <Op extends 'move' | 'copy'>(op: Op) => z.strictObject({ op: z.literal(op), path: pointer, from: pointer });

/** Maximum number of operations of a JSON patch. */
const MAX_OPERATIONS = 200;

export const patchOperations = z
  .array(
    z
      .discriminatedUnion('op', [
        valueOperation('add'),
        valueOperation('replace'),
        valueOperation('test'),
        fromOperation('move'),
        fromOperation('copy'),
        z.strictObject({ op: z.literal('remove'), path: pointer }),
      ])
      .meta({ id: 'StatePatchOperation' }),
  )
  .min(1)
  .max(MAX_OPERATIONS);

const condition = z.int().min(1).optional().describe('The version that the object must have.');
const named = { namespace, key, if_match: condition };
const onBehalf = { user_id: nameOf().optional().describe('The user on whose behalf the object is changed.') };

export const batchBody = z
  .strictObject({
    operations: z
      .array(
        z.discriminatedUnion('op', [
          z.strictObject({
            op: z.literal('put'),
            ...named,
            ...put,
            if_none_match: z.literal(true).optional().describe('The object must not exist.'),
          }),
          z
            .strictObject({
              op: z.literal('patch'),
              ...named,
              merge: z.unknown().optional().describe('A JSON merge patch (RFC 7396) of the body.'),
              patch: patchOperations.optional().describe('A JSON patch (RFC 6902) of the body.'),
              ...onBehalf,
            })
            .refine(({ merge, patch }) => (merge === undefined) !== (patch === undefined), 'must have either merge or patch'),
          z.strictObject({ op: z.literal('delete'), ...named, ...onBehalf }),
        ]),
      )
      .min(1)
      .max(1000),
  })
  .meta({ id: 'StateBatch' });
export type BatchOperation = z.output<typeof batchBody>['operations'][number];

const gone = z
  .object({ namespace: z.string(), key: z.string(), version: z.int(), commit_seq: z.int() })
  .meta({ id: 'StateGone' });
export const batchResult = z.object({
  data: z.array(z.union([object, gone])).describe('For each operation the object, or the version that deleted it.'),
});
