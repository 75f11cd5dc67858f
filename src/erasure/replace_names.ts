// Replaces names in the data of an event. A name matches only as a whole word: an adjacent letter, digit or combining mark (in the sense of
// Unicode) makes it part of another word.

const WORD = '[\\p{L}\\p{M}\\p{N}]';
/** Fields whose values the service defines. They are not replaced, because a person can be called `active`. */
const FIXED_VALUES = new Set(['memory_id', 'kind', 'scope', 'status', 'trust', 'type', 'supersedes', 'op']);
/** Objects whose field names the service defines too; their values are the client's. */
const NESTED_OBJECTS = new Set(['body', 'origin']);

/** Field names that the service defines. They are kept even if a person has such a name. All other names are the client's. */
const SERVICE_FIELDS = new Set([
  ...['text', 'decision', 'rationale', 'constraints', 'alternatives', 'consequences', 'title', 'details', 'task_id', 'version'],
  ...['subject', 'unit', 'value', 'contradicts', 'priority', 'to_agent', 'problem', 'decisions', 'open_questions', 'refs'],
  ...['id', 'pinned', 'importance', 'tags', 'metadata', 'valid_from', 'valid_to', 'expires_at', 'superseded_by', 'patch'],
  ...[
    'redactions',
    'sealed',
    'artifact_id',
    'truncated',
    'withheld',
    'edit_ids',
    'reason',
    'user_id',
    'sensitivity',
    'target',
    'edit_id',
  ],
]);

type Json = Record<string, unknown>;
export interface Parts {
  fields: Json;
  content: Json;
  metadata: unknown;
  /** Each: ordinal, text, header. */
  chunks: [number, string, string][];
  overlay: { content: Json | null; base: unknown } | null;
  /** Each: id, reason, patch, passages. */
  edits: [string, string, Json, unknown][];
  /** The data of other nouns: documents whose keys are the client's too. */
  [other: string]: unknown;
}
interface Passage {
  text: string;
  header: string;
}

/** Returns a function that replaces each of `names` by `by`, ignoring case. */
export function replaceNames(names: string[], by: string): (parts: Parts) => Parts {
  const pattern = patternOf(names);
  // a header contains the words of a tag separately, and one of an earlier release the parts of every compound name
  const parts = patternOf(names.flatMap(partsOf));
  const text = (value: string): string => (pattern ? value.replace(pattern, () => by) : value);
  const header = (value: unknown): string => (parts ? text(String(value)).replace(parts, '') : text(String(value)));
  const passages = (value: unknown): unknown =>
    (value as Passage[] | null)?.map((each) => ({ ...each, text: text(each.text), header: header(each.header) })) ?? null;
  const walk = (value: unknown, keys: boolean): unknown => {
    if (typeof value === 'string') return text(value);
    if (Array.isArray(value)) return value.map((each) => walk(each, keys));
    if (!isObject(value)) return value;
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [keys ? text(key) : key, walk(each, keys)]));
  };
  const members = (value: Json, walkIn: (key: string, each: unknown) => unknown): Json =>
    Object.fromEntries(
      Object.entries(value).map(([key, each]) => {
        if (FIXED_VALUES.has(key)) return [key, each];
        return [SERVICE_FIELDS.has(key) || NESTED_OBJECTS.has(key) ? key : text(key), walkIn(key, each)];
      }),
    );
  const inPart = (_: string, each: unknown) => walk(each, true);
  const content = (value: Json): Json =>
    members(value, (key, each) => (NESTED_OBJECTS.has(key) && isObject(each) ? members(each, inPart) : walk(each, true)));
  return ({ fields, content: original, metadata, chunks, overlay, edits, ...others }) => ({
    ...Object.fromEntries(Object.entries(others).map(([noun, each]) => [noun, walk(each, true)])),
    fields: walk(fields, false) as Json,
    content: isObject(original) ? content(original) : (walk(original, true) as Json),
    metadata: walk(metadata, true),
    chunks: chunks.map(([ordinal, passage, surroundings]) => [ordinal, text(passage), header(surroundings)]),
    overlay: overlay && { content: overlay.content && content(overlay.content), base: passages(overlay.base) },
    edits: edits.map(([id, reason, patch, base]) => [id, text(reason), members(patch, inPart), passages(base)]),
  });
}

/** Splits a name as the header of a passage splits tags (src/passages/header.ts). */
const partsOf = (name: string) =>
  name.split(/[^\p{L}\p{M}\p{N}]+|(?<=[a-z0-9])(?=[A-Z])/u).filter((part, _, all) => all.length > 1 && part.length > 1);

const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value);

function patternOf(names: string[]): RegExp | undefined {
  const forms = new Set(names.flatMap((name) => [name, name.normalize('NFC'), name.normalize('NFD')]));
  forms.delete('');
  // longest first: an e-mail address can begin with the username
  const any = [...forms].sort((a, b) => b.length - a.length).map(quoted);
  return any.length > 0 ? new RegExp(`(?<!${WORD})(?:${any.join('|')})(?!${WORD})`, 'giu') : undefined;
}

const quoted = (name: string) => name.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
