// Replaces names in what is kept of an event, as whole words in the sense of Unicode: a letter, a digit or a mark beside a name makes it
// part of another word.

const WORD = '[\\p{L}\\p{M}\\p{N}]';
/** Our own words, not the client's: a person may be called `active`. */
const OWN = new Set(['memory_id', 'kind', 'scope', 'status', 'trust', 'type', 'supersedes', 'op']);
/** Their members are ours too, except for what stands in them. */
const PARTS_OF_CONTENT = new Set(['body', 'origin']);

/** Fields that the service reads: they stay, even where a person is called so. Other keys are the client's. */
const FIELDS = new Set([
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
  /** Of each: ordinal, text, header. */
  chunks: [number, string, string][];
  overlay: { content: Json | null; base: unknown } | null;
  /** Of each: id, reason, patch, passages. */
  edits: [string, string, Json, unknown][];
  /** What other nouns have of it: documents, in which keys are the client’s too. */
  [other: string]: unknown;
}
interface Passage {
  text: string;
  header: string;
}

/** Replaces each of `names` by `by`, whatever its case. */
export function replaceNames(names: string[], by: string): (parts: Parts) => Parts {
  const pattern = patternOf(names);
  // a header has the parts of joined names as words of their own
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
        if (OWN.has(key)) return [key, each];
        return [FIELDS.has(key) || PARTS_OF_CONTENT.has(key) ? key : text(key), walkIn(key, each)];
      }),
    );
  const inPart = (_: string, each: unknown) => walk(each, true);
  const content = (value: Json): Json =>
    members(value, (key, each) => (PARTS_OF_CONTENT.has(key) && isObject(each) ? members(each, inPart) : walk(each, true)));
  return ({ fields, content: own, metadata, chunks, overlay, edits, ...others }) => ({
    ...Object.fromEntries(Object.entries(others).map(([noun, each]) => [noun, walk(each, true)])),
    fields: walk(fields, false) as Json,
    content: isObject(own) ? content(own) : (walk(own, true) as Json),
    metadata: walk(metadata, true),
    chunks: chunks.map(([ordinal, passage, surroundings]) => [ordinal, text(passage), header(surroundings)]),
    overlay: overlay && { content: overlay.content && content(overlay.content), base: passages(overlay.base) },
    edits: edits.map(([id, reason, patch, said]) => [id, text(reason), members(patch, inPart), passages(said)]),
  });
}

/** As the index splits them (src/passages/header.ts). */
const partsOf = (name: string) =>
  name.split(/[^\p{L}\p{M}\p{N}]+|(?<=[a-z0-9])(?=[A-Z])/u).filter((part, _, all) => all.length > 1 && part.length > 1);

const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value);

function patternOf(names: string[]): RegExp | undefined {
  const forms = new Set(names.flatMap((name) => [name, name.normalize('NFC'), name.normalize('NFD')]));
  forms.delete('');
  // the longest first: an e-mail address may begin with the user name
  const any = [...forms].sort((a, b) => b.length - a.length).map(quoted);
  return any.length > 0 ? new RegExp(`(?<!${WORD})(?:${any.join('|')})(?!${WORD})`, 'giu') : undefined;
}

const quoted = (name: string) => name.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
