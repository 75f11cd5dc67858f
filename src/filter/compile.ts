import { textFault } from '../http/json.ts';
import { time } from '../http/time.ts';
import { sortableTime } from '../time.ts';

// Compiles a filter to a jsonpath predicate with variables, or returns all its errors. No value of a filter becomes SQL: the predicate is a
// parameter of the statement, and the values are variables of the predicate. Every leaf is an `exists` over a filter expression in strict
// mode, which is true or false and never unknown, so that `not` is a true negation.

/** A compiled filter, a parameter of the SQL functions `event_matches` and `memory_matches`. */
export interface Filter {
  /** The filter of the client. */
  given: Record<string, unknown>;
  path: string;
  vars: Record<string, unknown>;
  /** It uses fields of memories, which have to be looked up. */
  memory: boolean;
}

export interface FilterError {
  path: (string | number)[];
  message: string;
}

type Type = 'text' | 'time' | 'number' | 'boolean' | 'list' | 'json';
interface Field {
  type: Type;
  /** Path in the document of event_doc or memory_fields. */
  at: string;
  memory?: boolean;
}

/** The fields that a filter can use. */
export interface Language {
  fields: Record<string, Field>;
  /** Fields with arbitrary JSON: `metadata.a.b` is a path into it. */
  documents: readonly string[];
  /** Fields with texts by name: all that follows the point is one name. */
  maps: readonly string[];
}

const text = (at: string): Field => ({ type: 'text', at });
const fields: Record<string, Field> = {
  // a version of a memory has the kinds of the event and of the memory
  kind: text('kinds[*]'),
  session_id: text('session_id'),
  user_id: text('user_id'),
  agent_id: text('agent_id'),
  project_id: text('project_id'),
  channel: text('channel'),
  sensitivity: text('sensitivity'),
  'actor.type': text('actor_type'),
  'actor.id': text('actor_id'),
  tags: { type: 'list', at: 'tags' },
  refs: { type: 'list', at: 'refs' },
  occurred_at: { type: 'time', at: 'occurred_at' },
  created_at: { type: 'time', at: 'created_at' },
  seq: { type: 'number', at: 'seq' },
  importance: { type: 'number', at: 'importance', memory: true },
  scope: { ...text('scope'), memory: true },
  status: { ...text('status'), memory: true },
  pinned: { type: 'boolean', at: 'pinned', memory: true },
};
const eventLanguage: Language = { fields, documents: ['metadata'], maps: [] };

const compared = { gt: '>', gte: '>=', lt: '<', lte: '<=' } as const;
const allowed: Record<Type, string[]> = {
  text: ['eq', 'ne', 'in', 'nin', 'exists'],
  time: ['eq', 'ne', 'gt', 'gte', 'lt', 'lte', 'in', 'nin', 'exists'],
  number: ['eq', 'ne', 'gt', 'gte', 'lt', 'lte', 'in', 'nin', 'exists'],
  boolean: ['eq', 'ne', 'exists'],
  list: ['contains', 'exists'],
  json: ['eq', 'ne', 'gt', 'gte', 'lt', 'lte', 'in', 'nin', 'contains', 'exists'],
};

/** Maximum number of clauses; each value of a list counts as one. With MAX_PARTS it bounds the cost per row, whose metadata may have a megabyte. */
const MAX_CLAUSES = 128;
/** Maximum number of values of `contains` over JSON, each of which scans a whole text or list. */
const MAX_PARTS = 16;
const MAX_DEPTH = 8;
const MAX_VALUES = 100;
const MAX_TEXT = 1_000;
const MAX_NAME = 255;
const NOTHING = '(1 == 0)';

interface Compilation extends Omit<Filter, 'given'> {
  language: Language;
  errors: FilterError[];
  clauses: number;
  parts: number;
}
type Path = (string | number)[];

/** Compiles a filter, by default over events and memories. It can be used if `errors` is empty. */
export function compileFilter(
  given: Record<string, unknown>,
  language: Language = eventLanguage,
): Filter & { errors: FilterError[] } {
  const compilation: Compilation = { language, path: '', vars: {}, memory: false, errors: [], clauses: 0, parts: 0 };
  const predicate = group(given, [], 1, compilation);
  const { vars, memory, errors } = compilation;
  return { given, path: `strict ${predicate}`, vars, memory, errors };
}

/** Restricts a filter to one subject. */
export const aboutSubject = (filter: Filter | undefined, user_id: string): Filter => ({
  given: { ...filter?.given, user_id },
  path: `strict (${filter ? filter.path.replace(/^strict /, '') : all([])} && exists($ ? (@.user_id == $about)))`,
  vars: { ...filter?.vars, about: user_id },
  memory: filter?.memory ?? false,
});

const reject = (compilation: Compilation, path: Path, message: string): string => {
  compilation.errors.push({ path, message });
  return NOTHING;
};
const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const all = (parts: string[]) => (parts.length === 0 ? '(1 == 1)' : `(${parts.join(' && ')})`);
const any = (parts: string[]) => (parts.length === 0 ? NOTHING : `(${parts.join(' || ')})`);
const not = (predicate: string) => `(!${predicate})`;

/** Counts clauses. Returns true if there are too many, which is reported once. */
function isFull(compilation: Compilation, path: Path, count = 1): boolean {
  const before = compilation.clauses;
  compilation.clauses += count;
  if (compilation.clauses <= MAX_CLAUSES) return false;
  if (before <= MAX_CLAUSES)
    reject(compilation, path, `must have at most ${MAX_CLAUSES} clauses; each value of a list counts as one`);
  return true;
}

/** Compiles an object: all its members must match. */
function group(value: unknown, path: Path, depth: number, compilation: Compilation): string {
  if (!isObject(value)) return reject(compilation, path, 'must be an object');
  if (depth > MAX_DEPTH) return reject(compilation, path, `must be nested at most ${MAX_DEPTH} levels deep`);
  const keys = Object.keys(value);
  if (keys.length === 0 && isFull(compilation, path)) return NOTHING;
  const parts: string[] = [];
  for (const key of keys) {
    if (compilation.clauses > MAX_CLAUSES) break;
    parts.push(member(key, value[key], [...path, key], depth, compilation));
  }
  return all(parts);
}

function member(key: string, value: unknown, path: Path, depth: number, compilation: Compilation): string {
  if (key === 'not') return not(group(value, path, depth + 1, compilation));
  if (key !== 'and' && key !== 'or') return field(key, value, path, compilation);
  if (!Array.isArray(value)) return reject(compilation, path, 'must be an array of filters');
  if (value.length === 0 && isFull(compilation, path)) return NOTHING;
  const parts: string[] = [];
  for (const [i, inner] of value.entries()) {
    if (compilation.clauses > MAX_CLAUSES) break;
    parts.push(group(inner, [...path, i], depth + 1, compilation));
  }
  return key === 'and' ? all(parts) : any(parts);
}

function field(name: string, value: unknown, path: Path, compilation: Compilation): string {
  const fieldOrError = fieldOf(name, compilation.language);
  if (typeof fieldOrError === 'string') return isFull(compilation, path) ? NOTHING : reject(compilation, path, fieldOrError);
  if (fieldOrError.memory) compilation.memory = true;
  if (!isObject(value)) return clause(fieldOrError, 'eq', value, path, compilation);
  const operators = Object.keys(value);
  if (operators.length === 0) return reject(compilation, path, 'must contain an operator and its value');
  const parts: string[] = [];
  for (const operator of operators) {
    if (compilation.clauses > MAX_CLAUSES) break;
    parts.push(clause(fieldOrError, operator, value[operator], [...path, operator], compilation));
  }
  return all(parts);
}

const isName = (part: string): boolean => part !== '' && part.length <= MAX_NAME && !textFault(part);

/** Returns the field of a name, which may be a path into a document, or an error message. */
function fieldOf(name: string, { fields, documents, maps }: Language): Field | string {
  if (Object.hasOwn(fields, name)) return fields[name]!;
  const root = name.split('.', 1)[0]!;
  const parts = maps.includes(root) ? [root, name.slice(root.length + 1)] : name.split('.');
  if (!name.includes('.') || ![...documents, ...maps].includes(root)) return 'unknown field';
  if (parts.length > MAX_DEPTH + 1 || !parts.every(isName))
    return maps.includes(root)
      ? `must be \`${root}.\` and a name`
      : `must be \`${root}.\` and a path of at most ${MAX_DEPTH} names`;
  return { type: maps.includes(root) ? 'text' : 'json', at: parts.map((part) => JSON.stringify(part)).join('.') };
}

function clause({ type, at }: Field, operator: string, value: unknown, path: Path, compilation: Compilation): string {
  if (isFull(compilation, path)) return NOTHING;
  if (!allowed[type].includes(operator)) {
    const known = Object.values(allowed).flat().includes(operator);
    return reject(compilation, path, known ? `must be one of ${allowed[type].join(', ')} for this field` : 'unknown operator');
  }
  if (operator === 'exists') {
    if (typeof value !== 'boolean') return reject(compilation, path, 'must be a boolean');
    return value ? `exists($ ? (exists(@.${at})))` : not(`exists($ ? (exists(@.${at})))`);
  }
  if (operator === 'in' || operator === 'nin') {
    const condition = oneOf(at, type, value, path, compilation);
    return operator === 'in' ? condition : not(condition);
  }
  if (operator === 'contains') return contains(at, type, value, path, compilation);
  const plain = plainOf(type, operator, value, path, compilation);
  if (plain === undefined) return NOTHING;
  const variable = variableFor(compilation, plain);
  if (operator in compared) return `exists($ ? (@.${at} ${compared[operator as keyof typeof compared]} ${variable}))`;
  const equal = `exists($ ? (@.${at} == ${variable}))`;
  return operator === 'eq' ? equal : not(equal);
}

function oneOf(at: string, type: Type, value: unknown, path: Path, compilation: Compilation): string {
  if (!Array.isArray(value)) return reject(compilation, path, 'must be an array of values');
  if (value.length > MAX_VALUES) return reject(compilation, path, `must have at most ${MAX_VALUES} values`);
  if (isFull(compilation, path, Math.max(0, value.length - 1))) return NOTHING;
  const plain = value.map((one, i) => plainOf(type, 'in', one, [...path, i], compilation));
  return plain.length === 0 ? NOTHING : `exists(${variableFor(compilation, plain)}[*] ? (@ == $.${at}))`;
}

/** Compiles `contains`: a list has all the values; a text in the metadata contains them as substrings. */
function contains(at: string, type: Type, value: unknown, path: Path, compilation: Compilation): string {
  const several = Array.isArray(value);
  if (several && value.length > MAX_VALUES) return reject(compilation, path, `must have at most ${MAX_VALUES} values`);
  const values = several ? value : [value];
  if (isFull(compilation, path, Math.max(0, values.length - 1))) return NOTHING;
  if (type === 'json') compilation.parts += values.length;
  if (compilation.parts > MAX_PARTS)
    return reject(compilation, path, `must have at most ${MAX_PARTS} values in \`contains\` over JSON`);
  return all(
    values.map((one, i) => {
      const plain = plainOf(type === 'list' ? 'text' : type, 'contains', one, several ? [...path, i] : path, compilation);
      if (plain === undefined) return NOTHING;
      const element = `exists($ ? (exists(@.${at}[*] ? (@ == ${variableFor(compilation, plain)}))))`;
      if (type === 'list' || typeof plain !== 'string' || plain === '') return element;
      // the flag `q` quotes the whole pattern
      return any([element, `exists($ ? (@.${at} like_regex ${JSON.stringify(plain)} flag "q"))`]);
    }),
  );
}

function variableFor(compilation: Compilation, value: unknown): string {
  const name = `v${Object.keys(compilation.vars).length}`;
  compilation.vars[name] = value;
  return `$${name}`;
}

/** Converts a value to the form in the document; undefined if it is invalid. */
function plainOf(type: Type, operator: string, value: unknown, path: Path, compilation: Compilation): unknown {
  const invalid = (message: string) => void reject(compilation, path, message);
  if (typeof value === 'string' && (value.length > MAX_TEXT || textFault(value)))
    return invalid(`must be a string of at most ${MAX_TEXT} characters that can be stored`);
  if (typeof value === 'number' && !Number.isFinite(value)) return invalid('must be a number that a double can represent');
  if (type === 'time') {
    const { success, data } = time.safeParse(value);
    return success ? sortableTime(data) : invalid('must be an RFC 3339 time');
  }
  if (type === 'json') {
    const fits = operator in compared ? ['string', 'number'] : ['string', 'number', 'boolean'];
    if (fits.includes(typeof value) || (value === null && !(operator in compared))) return value;
    return invalid(operator in compared ? 'must be a number or a string' : 'must be a string, a number, a boolean or null');
  }
  const expected = type === 'text' || type === 'list' ? 'string' : type;
  return typeof value === expected ? value : invalid(`must be a ${expected}`);
}
