import { textFault } from '../http/json.ts';
import { time } from '../http/time.ts';
import { sortableTime } from '../time.ts';

// From a filter to one jsonpath predicate and its variables, or to everything that is wrong with it. No value of a filter becomes SQL:
// the predicate is a parameter of the statement, its values are variables of the predicate. Every leaf is an `exists` over a filter
// expression in strict mode, which is true or false and never unknown, so that `not` means what it says.

/** What the database is given; `event_matches` and `memory_matches` take it as one value. */
export interface Filter {
  /** As the client wrote it. */
  given: Record<string, unknown>;
  path: string;
  vars: Record<string, unknown>;
  /** It asks for a field that only memories have, which has to be looked up. */
  memory: boolean;
}

export interface FilterError {
  path: (string | number)[];
  message: string;
}

type Type = 'text' | 'time' | 'number' | 'boolean' | 'list' | 'json';
interface Field {
  type: Type;
  /** Where it stands in the document that event_doc or memory_fields makes. */
  at: string;
  memory?: boolean;
}

const text = (at: string): Field => ({ type: 'text', at });
const fields: Record<string, Field> = {
  // an event that is a version of a memory has the kind of both
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

const compared = { gt: '>', gte: '>=', lt: '<', lte: '<=' } as const;
const allowed: Record<Type, string[]> = {
  text: ['eq', 'ne', 'in', 'nin', 'exists'],
  time: ['eq', 'ne', 'gt', 'gte', 'lt', 'lte', 'in', 'nin', 'exists'],
  number: ['eq', 'ne', 'gt', 'gte', 'lt', 'lte', 'in', 'nin', 'exists'],
  boolean: ['eq', 'ne', 'exists'],
  list: ['contains', 'exists'],
  json: ['eq', 'ne', 'gt', 'gte', 'lt', 'lte', 'in', 'nin', 'contains', 'exists'],
};

/** Each value of a list is one: what a row costs is bounded by these two, and metadata may be a megabyte. */
const MAX_CLAUSES = 128;
/** `contains` of metadata reads all of a text or a list for each value. */
const MAX_PARTS = 16;
const MAX_DEPTH = 8;
const MAX_VALUES = 100;
const MAX_TEXT = 1_000;
const MAX_NAME = 255;
const NOTHING = '(1 == 0)';

interface Compilation extends Omit<Filter, 'given'> {
  faults: FilterError[];
  clauses: number;
  parts: number;
}
type Place = (string | number)[];

/** A filter with everything that is wrong with it; `faults` is empty where it can be used. */
export function compileFilter(given: Record<string, unknown>): Filter & { faults: FilterError[] } {
  const making: Compilation = { path: '', vars: {}, memory: false, faults: [], clauses: 0, parts: 0 };
  const predicate = group(given, [], 1, making);
  const { vars, memory, faults } = making;
  return { given, path: `strict ${predicate}`, vars, memory, faults };
}

/** A filter that asks besides for one subject. */
export const aboutSubject = (filter: Filter | undefined, user_id: string): Filter => ({
  given: { ...filter?.given, user_id },
  path: `strict (${filter ? filter.path.replace(/^strict /, '') : all([])} && exists($ ? (@.user_id == $about)))`,
  vars: { ...filter?.vars, about: user_id },
  memory: filter?.memory ?? false,
});

const wrong = (making: Compilation, path: Place, message: string): string => {
  making.faults.push({ path, message });
  return NOTHING;
};
const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const all = (parts: string[]) => (parts.length === 0 ? '(1 == 1)' : `(${parts.join(' && ')})`);
const any = (parts: string[]) => (parts.length === 0 ? NOTHING : `(${parts.join(' || ')})`);
const not = (predicate: string) => `(!${predicate})`;

/** Counts `count` clauses more; one fault tells of too many. */
function isFull(making: Compilation, path: Place, count = 1): boolean {
  const before = making.clauses;
  making.clauses += count;
  if (making.clauses <= MAX_CLAUSES) return false;
  if (before <= MAX_CLAUSES) wrong(making, path, `must have at most ${MAX_CLAUSES} clauses; each value of a list counts as one`);
  return true;
}

/** All that an object asks for. */
function group(value: unknown, path: Place, depth: number, making: Compilation): string {
  if (!isObject(value)) return wrong(making, path, 'must be an object');
  if (depth > MAX_DEPTH) return wrong(making, path, `must be nested at most ${MAX_DEPTH} levels deep`);
  const keys = Object.keys(value);
  if (keys.length === 0 && isFull(making, path)) return NOTHING;
  const parts: string[] = [];
  for (const key of keys) {
    if (making.clauses > MAX_CLAUSES) break;
    parts.push(member(key, value[key], [...path, key], depth, making));
  }
  return all(parts);
}

function member(key: string, value: unknown, path: Place, depth: number, making: Compilation): string {
  if (key === 'not') return not(group(value, path, depth + 1, making));
  if (key !== 'and' && key !== 'or') return field(key, value, path, making);
  if (!Array.isArray(value)) return wrong(making, path, 'must be an array of filters');
  if (value.length === 0 && isFull(making, path)) return NOTHING;
  const parts: string[] = [];
  for (const [i, inner] of value.entries()) {
    if (making.clauses > MAX_CLAUSES) break;
    parts.push(group(inner, [...path, i], depth + 1, making));
  }
  return key === 'and' ? all(parts) : any(parts);
}

function field(name: string, value: unknown, path: Place, making: Compilation): string {
  const found = fieldOf(name);
  if (typeof found === 'string') return isFull(making, path) ? NOTHING : wrong(making, path, found);
  if (found.memory) making.memory = true;
  if (!isObject(value)) return clause(found, 'eq', value, path, making);
  const operators = Object.keys(value);
  if (operators.length === 0) return wrong(making, path, 'must contain an operator and its value');
  const parts: string[] = [];
  for (const operator of operators) {
    if (making.clauses > MAX_CLAUSES) break;
    parts.push(clause(found, operator, value[operator], [...path, operator], making));
  }
  return all(parts);
}

/** A fixed field, or the place in the metadata that the name is a path to; else what is wrong with it. */
function fieldOf(name: string): Field | string {
  if (Object.hasOwn(fields, name)) return fields[name]!;
  if (!name.startsWith('metadata.')) return 'unknown field';
  const parts = name.split('.');
  if (parts.length > MAX_DEPTH + 1 || parts.some((part) => part === '' || part.length > MAX_NAME || textFault(part)))
    return `must be \`metadata.\` and a path of at most ${MAX_DEPTH} names`;
  return { type: 'json', at: parts.map((part) => JSON.stringify(part)).join('.') };
}

function clause({ type, at }: Field, operator: string, value: unknown, path: Place, making: Compilation): string {
  if (isFull(making, path)) return NOTHING;
  if (!allowed[type].includes(operator)) {
    const known = Object.values(allowed).flat().includes(operator);
    return wrong(making, path, known ? `must be one of ${allowed[type].join(', ')} for this field` : 'unknown operator');
  }
  if (operator === 'exists') {
    if (typeof value !== 'boolean') return wrong(making, path, 'must be a boolean');
    return value ? `exists($ ? (exists(@.${at})))` : not(`exists($ ? (exists(@.${at})))`);
  }
  if (operator === 'in' || operator === 'nin') {
    const found = oneOf(at, type, value, path, making);
    return operator === 'in' ? found : not(found);
  }
  if (operator === 'contains') return contains(at, type, value, path, making);
  const plain = plainOf(type, operator, value, path, making);
  if (plain === undefined) return NOTHING;
  const variable = named(making, plain);
  if (operator in compared) return `exists($ ? (@.${at} ${compared[operator as keyof typeof compared]} ${variable}))`;
  const equal = `exists($ ? (@.${at} == ${variable}))`;
  return operator === 'eq' ? equal : not(equal);
}

function oneOf(at: string, type: Type, value: unknown, path: Place, making: Compilation): string {
  if (!Array.isArray(value)) return wrong(making, path, 'must be an array of values');
  if (value.length > MAX_VALUES) return wrong(making, path, `must have at most ${MAX_VALUES} values`);
  if (isFull(making, path, Math.max(0, value.length - 1))) return NOTHING;
  const plain = value.map((one, i) => plainOf(type, 'in', one, [...path, i], making));
  return plain.length === 0 ? NOTHING : `exists(${named(making, plain)}[*] ? (@ == $.${at}))`;
}

/** A list has the value, or each of the values; a text of the metadata has it as a part. */
function contains(at: string, type: Type, value: unknown, path: Place, making: Compilation): string {
  const several = Array.isArray(value);
  if (several && value.length > MAX_VALUES) return wrong(making, path, `must have at most ${MAX_VALUES} values`);
  const wanted = several ? value : [value];
  if (isFull(making, path, Math.max(0, wanted.length - 1))) return NOTHING;
  if (type === 'json') making.parts += wanted.length;
  if (making.parts > MAX_PARTS) return wrong(making, path, `must have at most ${MAX_PARTS} values in \`contains\` over metadata`);
  return all(
    wanted.map((one, i) => {
      const plain = plainOf(type === 'list' ? 'text' : type, 'contains', one, several ? [...path, i] : path, making);
      if (plain === undefined) return NOTHING;
      const element = `exists($ ? (exists(@.${at}[*] ? (@ == ${named(making, plain)}))))`;
      if (type === 'list' || typeof plain !== 'string' || plain === '') return element;
      // quoted whole (`q`): no character of it has a meaning
      return any([element, `exists($ ? (@.${at} like_regex ${JSON.stringify(plain)} flag "q"))`]);
    }),
  );
}

function named(making: Compilation, value: unknown): string {
  const name = `v${Object.keys(making.vars).length}`;
  making.vars[name] = value;
  return `$${name}`;
}

/** The value as the document has such a field; undefined where it cannot be one. */
function plainOf(type: Type, operator: string, value: unknown, path: Place, making: Compilation): unknown {
  const refuse = (message: string) => void wrong(making, path, message);
  if (typeof value === 'string' && (value.length > MAX_TEXT || textFault(value)))
    return refuse(`must be a string of at most ${MAX_TEXT} characters that can be stored`);
  if (typeof value === 'number' && !Number.isFinite(value)) return refuse('must be a number that a double can hold');
  if (type === 'time') {
    const { success, data } = time.safeParse(value);
    return success ? sortableTime(data) : refuse('must be an RFC 3339 time');
  }
  if (type === 'json') {
    const fits = operator in compared ? ['string', 'number'] : ['string', 'number', 'boolean'];
    if (fits.includes(typeof value) || (value === null && !(operator in compared))) return value;
    return refuse(operator in compared ? 'must be a number or a string' : 'must be a string, a number, a boolean or null');
  }
  const wanted = type === 'text' || type === 'list' ? 'string' : type;
  return typeof value === wanted ? value : refuse(`must be a ${wanted}`);
}
