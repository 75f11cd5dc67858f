import { findSecrets, type Span } from './detect.ts';
import { isSecretValue } from './named_values.ts';
import type { Classes } from './personal.ts';
import { classifyName, isCompanionField, isContainer, isSessionCookie, type SecretName } from './secret_names.ts';

// Redacts secrets in JSON at every depth, including names. Values without secrets are returned unchanged, not copied.

/** The kind and location of a secret, never its value. */
export interface Finding {
  kind: string;
  /** JSON pointer, in which names with secrets are redacted. Empty after the first MAX_POINTERS findings. */
  pointer: string;
}

export const redactionMark = (kind: string): string => `[redacted:${kind}]`;

/** Counts the redaction marks in JSON, including marks that clients wrote. */
export const countRedactionMarks = (value: unknown): number =>
  JSON.stringify(value).match(/\[redacted:[a-z-]{1,40}\]/g)?.length ?? 0;

export function redactText(text: string, spans: Span[]): string {
  if (spans.length === 0) return text;
  let redacted = '';
  let last = 0;
  for (const { from, to, kind } of spans) {
    redacted += text.slice(last, from) + redactionMark(kind);
    last = to;
  }
  return redacted + text.slice(last);
}

interface Walk {
  classes: Classes;
  path: string[];
  found: Finding[];
}

export function redactJson<T>(value: T, classes: Classes, pointer: string): { value: T; found: Finding[] } {
  const walk: Walk = { classes, path: [pointer], found: [] };
  return { value: visit(value, undefined, walk) as T, found: walk.found };
}

/** Maximum number of findings with a pointer: building thousands of deep paths would take longer than the search itself. */
const MAX_POINTERS = 50;

const addFinding = (walk: Walk, kind: string): number =>
  walk.found.push({ kind, pointer: walk.found.length < MAX_POINTERS ? walk.path.join('/') : '' });

function visit(value: unknown, named: SecretName | undefined, walk: Walk): unknown {
  if (typeof value === 'string') return visitText(value, named, walk);
  if (typeof value === 'number') return visitNumber(value, named, walk);
  if (typeof value !== 'object' || value === null) return value;
  return Array.isArray(value) ? visitArray(value, named, walk) : visitObject(value as Record<string, unknown>, named, walk);
}

function visitText(text: string, named: SecretName | undefined, walk: Walk): string {
  if (named?.kind === 'cookie' && text.includes('=')) return visitCookie(text, walk);
  const spans = findSecrets(text, walk.classes);
  const whole = spans.length === 1 && spans[0]!.from === 0 && spans[0]!.to === text.length;
  const scheme = named ? (/^(?:bearer|basic|token|apikey)\s{1,4}/i.exec(text)?.[0] ?? '') : '';
  if (named && !whole && isSecretValue(text.slice(scheme.length), named, 'quoted')) {
    addFinding(walk, named.kind);
    return scheme + redactionMark(named.kind);
  }
  for (const { kind } of spans) addFinding(walk, kind);
  return redactText(text, spans);
}

const COOKIE = 'Cookie: ';

function visitCookie(text: string, walk: Walk): string {
  const spans = findSecrets(COOKIE + text, walk.classes);
  for (const { kind } of spans) addFinding(walk, kind);
  return redactText(COOKIE + text, spans).slice(COOKIE.length);
}

/** Redacts a PIN or a numeric password. */
function visitNumber(value: number, named: SecretName | undefined, walk: Walk): unknown {
  if (named?.form !== 'password' || named.weak || !Number.isInteger(value) || Math.abs(value) < 1000) return value;
  addFinding(walk, named.kind);
  return redactionMark(named.kind);
}

function visitArray(items: unknown[], named: SecretName | undefined, walk: Walk): unknown[] {
  // lines of one text, arguments, a header
  if (items.length > 1 && items.every((item) => typeof item === 'string')) return visitLines(items as string[], named, walk);
  return visitItems(items, () => named, walk);
}

function visitItems<T>(items: T[], namedAt: (i: number) => SecretName | undefined, walk: Walk): T[] {
  let copy: T[] | undefined;
  items.forEach((item, i) => {
    walk.path.push(String(i));
    const redacted = visit(item, namedAt(i), walk) as T;
    walk.path.pop();
    if (redacted !== item) {
      copy ??= [...items];
      copy[i] = redacted;
    }
  });
  return copy ?? items;
}

/** Returns the name in the preceding item of an array: `["--password", "hunter2"]`, `["Authorization", "…"]`. */
function secretNameFromPrevious(items: string[], i: number): SecretName | undefined {
  const before = items[i - 1];
  if (before === undefined || before.length > 100 || items[i]!.startsWith('-')) return undefined;
  if (/^--?\w[\w-]*$/.test(before)) return classifyName(before.replace(/^-+/, ''));
  return items.length === 2 && /^[\w-]+$/.test(before) ? classifyName(before) : undefined;
}

/** Joins the arguments of a command with spaces and other lines with line feeds: one character in both cases, so that positions are the same. */
const joinedBy = (lines: string[]): string =>
  lines.join(lines.some((line) => /^--?[A-Za-z]/.test(line)) && lines.every((line) => !/\s/.test(line)) ? ' ' : '\n');

/** Finds secrets in the joined lines, and redacts them in each line. */
function visitLines(lines: string[], named: SecretName | undefined, walk: Walk): string[] {
  const spans = findSecrets(joinedBy(lines), walk.classes);
  const before = lines.map((_, i) => secretNameFromPrevious(lines, i));
  if (spans.length === 0) return visitItems(lines, (i) => before[i] ?? named, walk);
  let start = 0;
  let next = 0;
  return lines.map((line, i) => {
    const end = start + line.length;
    const own: Span[] = [];
    for (let s = next; s < spans.length && spans[s]!.from < end; s += 1) {
      const { from, to, kind } = spans[s]!;
      if (to > start) own.push({ from: Math.max(from, start) - start, to: Math.min(to, end) - start, kind });
      if (to <= end) next = s + 1;
    }
    start = end + 1;
    walk.path.push(String(i));
    for (const { kind } of own) addFinding(walk, kind);
    const redacted = own.length > 0 ? redactText(line, own) : visitText(line, before[i] ?? named, walk);
    walk.path.pop();
    return redacted;
  });
}

const valueMembers = new Set([
  'value',
  'plaintext',
  'data',
  'current',
  'raw',
  'stringData',
  'new',
  'old',
  'Value',
  'ParameterValue',
  'val',
  'v',
  'eq',
  'ne',
  'in',
  'nin',
  'contains',
]);

function visitObject(object: Record<string, unknown>, named: SecretName | undefined, walk: Walk): Record<string, unknown> {
  let copy: Record<string, unknown> | undefined;
  const hints = hintsOf(object, named);
  const entries = Object.entries(object);
  const next = new Map<string, number>();
  entries.forEach(([key, value], i) => {
    const spans = findInName(key, walk.classes);
    const name = spans.length === 0 ? key : redactText(key, spans);
    walk.path.push(escapeName(name));
    for (const { kind } of spans) addFinding(walk, kind);
    const redacted = visit(value, secretNameOf(key, value, hints), walk);
    walk.path.pop();
    if (!copy && (redacted !== value || name !== key)) copy = Object.fromEntries(entries.slice(0, i));
    if (copy) copy[unusedName(copy, name, next)] = redacted;
  });
  return copy ?? object;
}

/** Hints of an object about the secrets among its members. */
interface ObjectHints {
  /** {"name": "DB_PASSWORD", "value": "…"} */
  pair: Pair;
  /** The name of the object itself. */
  named: SecretName | undefined;
  /** True for a JSON Web Key (RFC 7517). */
  isKey: boolean;
  /** True for a Kubernetes Secret. */
  isSecret: boolean;
}

const titleMembers = ['name', 'key', 'keyName', 'header', 'field', 'id', 'label', 'variable', 'Name', 'Key', 'ParameterKey', 'k'];
const titledValues = ['value', 'Value', 'ParameterValue', 'val', 'v', 'new_value', 'newValue', 'old_value', 'oldValue'];
/** A step of browser automation: the element, and the value that is typed into it. */
const elementMembers = ['selector', 'locator', 'target', 'element', 'placeholder', 'input', 'ref'];
const typedValues = ['value', 'text', 'keys', 'content'];

function hintsOf(object: Record<string, unknown>, named: SecretName | undefined): ObjectHints {
  const pair = pairOf(object, titleMembers, titledValues, named) ?? pairOf(object, elementMembers, typedValues, named);
  return { pair, named, isKey: typeof object.kty === 'string', isSecret: object.kind === 'Secret' };
}

type Pair = { named: SecretName; members: string[] } | undefined;

function pairOf(object: Record<string, unknown>, by: string[], members: string[], around: SecretName | undefined): Pair {
  if (!members.some((name) => Object.hasOwn(object, name))) return undefined;
  const title = by.map((name) => object[name]).find((held): held is string => typeof held === 'string');
  if (title === undefined) return undefined;
  if (around?.kind === 'cookie') return isSessionCookie(title) ? { named: around, members } : undefined;
  if (/^key\d$/.test(title) && Object.hasOwn(object, 'keyName')) return { named: azureKey, members };
  // the last word of a selector
  const own = classifyName(
    by === elementMembers
      ? title
          .slice(-100)
          .replace(/[^\p{L}\d]+$/u, '')
          .replace(/^.*[^\w-]/, '')
      : title,
  );
  return own && { named: own, members };
}

const privateMembers = new Set(['d', 'p', 'q', 'dp', 'dq', 'qi', 'k']);
const jwk: SecretName = { kind: 'jwk', form: 'token' };
const azureKey: SecretName = { kind: 'azure-key', form: 'token' };
const inSecret: SecretName = { kind: 'secret', form: 'token', container: true };

function secretNameOf(key: string, value: unknown, { pair, named, isKey, isSecret }: ObjectHints): SecretName | undefined {
  if (isKey && privateMembers.has(key)) return jwk;
  if (isSecret && (key === 'data' || key === 'stringData')) return inSecret;
  const own = classifyName(key);
  if (typeof value === 'object' && value !== null && isContainer(key)) return { ...(own ?? inSecret), container: true };
  if (pair?.members.includes(key)) return own ?? pair.named;
  if (named?.kind === 'cookie' && !isSessionCookie(key)) return own;
  // a member of a map of secrets, regardless of its name
  if (named?.container && !isCompanionField(key)) return own ?? named;
  return own ?? (valueMembers.has(key) ? (pair?.named ?? named) : undefined);
}

const cleanNames = new Set<string>();
const MAX_CLEAN_NAMES = 5_000;

/** Finds secrets in a name. Names without secrets are cached, because the same names recur. */
function findInName(key: string, classes: Classes): Span[] {
  const plain = !classes.personal_data && !classes.contacts;
  if (plain && cleanNames.has(key)) return [];
  const spans = findSecrets(key, classes);
  if (spans.length > 0 || key.length > 64 || !plain) return spans;
  // clients choose the names, so the cache must be bounded
  if (cleanNames.size >= MAX_CLEAN_NAMES) cleanNames.clear();
  cleanNames.add(key);
  return spans;
}

const escapeName = (key: string): string => key.replaceAll('~', '~0').replaceAll('/', '~1').slice(0, 200);

/** Returns an unused name. Redaction can make thousands of names equal, so `next` stores the number at which the search continues. */
function unusedName(object: Record<string, unknown>, name: string, next: Map<string, number>): string {
  if (!Object.hasOwn(object, name)) return name;
  let n = next.get(name) ?? 2;
  while (Object.hasOwn(object, `${name} ${n}`)) n += 1;
  next.set(name, n + 1);
  return `${name} ${n}`;
}
