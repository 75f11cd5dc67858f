import jsonPatch from 'fast-json-patch';
import { type JsonLimits, parseJson } from '../http/json.ts';
import { Problem } from '../http/problem.ts';

// Applies patches to the body of an object: RFC 7396 (merge) and RFC 6902 (a list of operations).

/** An operation of a JSON patch, validated by its schema. */
export type PatchOperation = { path: string } & (
  | { op: 'add' | 'replace' | 'test'; value: unknown }
  | { op: 'move' | 'copy'; from: string }
  | { op: 'remove' }
);

/** Either form of a patch. */
export type Patch = { merge: unknown } | { operations: PatchOperation[] };

export interface PatchLimits {
  json: JsonLimits;
  /** Maximum size of the result as JSON, in bytes. */
  maxBytes: number;
}

/**
 * Returns the patched body; the body and the patch are not changed. Throws `validation` with a pointer for an operation that does not apply, `conflict`
 * for a `test` that fails, and `too-large`. `pointer`: the location of the patch in the request.
 */
export function applyPatch(body: unknown, patch: Patch, limits: PatchLimits, pointer: string): unknown {
  const patched = 'merge' in patch ? merge(body, patch.merge) : applyOperations(body, patch.operations, limits.maxBytes, pointer);
  // many small patches must not make what one request could not store
  return parseJson(Buffer.from(JSON.stringify(patched)), limits.json);
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function merge(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const merged: Record<string, unknown> = isObject(target) ? { ...target } : {};
  for (const [name, value] of Object.entries(patch))
    if (value === null) delete merged[name];
    else merged[name] = merge(merged[name], value);
  return merged;
}

function applyOperations(body: unknown, operations: PatchOperation[], maxBytes: number, pointer: string): unknown {
  let document = structuredClone(body);
  let bytes = sizeOf(document);
  for (const [i, operation] of operations.entries()) {
    const at = `${pointer}/${i}`;
    const source = 'from' in operation ? assertOwnPath(document, operation.from.split('/').slice(1), at, 'from') : undefined;
    // copies can double the document with each operation
    bytes += operation.op === 'copy' ? sizeOf(source) : 'value' in operation ? sizeOf(operation.value) : 0;
    if (bytes > maxBytes)
      throw new Problem(
        'too-large',
        `The patched body may have at most ${maxBytes} bytes.`,
        errorAt(at, `must keep the body within ${maxBytes} bytes`),
      );
    // after the removal, the path of a move can lead elsewhere
    const steps: PatchOperation[] =
      operation.op === 'move'
        ? [
            { op: 'remove', path: operation.from },
            { op: 'add', path: operation.path, value: source },
          ]
        : [structuredClone(operation)];
    for (const step of steps) {
      assertPlace(document, step, at);
      document = applyOne(document, step, at);
    }
  }
  return document;
}

const sizeOf = (value: unknown): number => Buffer.byteLength(JSON.stringify(value));

function applyOne(document: unknown, operation: PatchOperation, at: string): unknown {
  try {
    return jsonPatch.applyOperation(document, operation as jsonPatch.Operation, true, true, true).newDocument;
  } catch (cause) {
    if ((cause as { name?: unknown }).name === 'TEST_OPERATION_FAILED') throw testFailed(at, cause);
    throw new Problem('validation', `${at}: the operation does not apply to the body.`, {
      ...errorAt(at, 'must apply to the current body'),
      cause,
    });
  }
}

const errorAt = (pointer: string, detail: string) => ({ errors: [{ pointer, detail }] });

/** Returns the value at a path. Throws unless every step is an own member: the library would also follow inherited ones, such as `constructor`. */
function assertOwnPath(document: unknown, tokens: string[], at: string, field: string): unknown {
  let value = document;
  for (const token of tokens) {
    if (!hasPlace(value, token, false)) throw noMember(at, field);
    value = (value as Record<string, unknown>)[nameIn(token)];
  }
  return value;
}

/** Throws unless the last step of `path` is an own member, or the place of a new value. The library truncates indexes to 32 bits. */
function assertPlace(document: unknown, { op, path }: PatchOperation, at: string): void {
  const tokens = path.split('/').slice(1);
  const parent = assertOwnPath(document, tokens.slice(0, -1), at, 'path');
  const last = tokens.at(-1);
  if (last === undefined || hasPlace(parent, last, op === 'add' || op === 'copy')) return;
  throw op === 'test' ? testFailed(at) : noMember(at, 'path');
}

const nameIn = (token: string): string => token.replaceAll('~1', '/').replaceAll('~0', '~');

/** Returns whether a value has a member with the name of a token; for a new value, whether it could get one. */
function hasPlace(value: unknown, token: string, isNew: boolean): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (!Array.isArray(value)) return isNew || Object.hasOwn(value, nameIn(token));
  if (isNew && token === '-') return true;
  return /^(0|[1-9]\d*)$/.test(token) && Number(token) < value.length + (isNew ? 1 : 0);
}

const noMember = (at: string, field: string) =>
  new Problem('validation', `${at}/${field}: there is no such member.`, errorAt(`${at}/${field}`, 'must be the path of a value'));

const testFailed = (at: string, cause?: unknown) =>
  new Problem('conflict', 'A test of the patch failed.', { ...errorAt(at, 'must equal the current value'), cause });
