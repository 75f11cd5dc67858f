import { nameOf, type Schema } from './document.ts';

// Types and limits of a schema, in words.

/** Patterns that have a name. */
const patterns: Record<string, string> = {
  '^[^\\u0000-\\u001f\\u007f-\\u009f\\u2028\\u2029]*$': 'no control characters',
  '^[\\x20-\\x7e]+$': 'printable ASCII',
  '\\S': 'not blank',
};
/** Longer ones, such as that of an e-mail address, do not help a reader. */
const MAX_PATTERN = 40;

export const code = (value: unknown): string => {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return text.includes('`') ? `\`\` ${text} \`\`` : `\`${text}\``;
};

/** `linkOf` returns the link to a component that has a section of its own. */
export type LinkOf = (name: string) => string | undefined;

export type Resolve = (schema: Schema) => Schema;

function typeOf(schema: Schema, resolve: Resolve, linkOf: LinkOf): string {
  const link = linkOf(nameOf(schema) ?? '');
  if (link) return link;
  const target = resolve(schema);
  if (target.const !== undefined) return code(target.const);
  if (target.enum) return `one of ${target.enum.map(code).join(', ')}`;
  const choices = target.anyOf ?? target.oneOf;
  if (choices) return [...new Set(choices.map((choice) => typeOf(choice, resolve, linkOf)))].join(' or ');
  if (target.type === 'array') return `array of ${plural(typeOf(target.items ?? {}, resolve, linkOf))}`;
  if (target.format === 'date-time') return 'timestamp (RFC 3339)';
  if (target.type === 'object' && !target.properties && typeof target.additionalProperties === 'object') return mapType(target);
  return [target.type ?? 'any JSON value'].flat().join(' or ');

  function mapType({ additionalProperties }: Schema): string {
    const values = additionalProperties as Schema;
    return Object.keys(values).length === 0 ? 'object' : `object of ${typeOf(values, resolve, linkOf)}`;
  }
}

const plural = (type: string) => type.replace(/^(string|object|integer|number|boolean)\b/, '$1s');

/** Returns type, limits and default in words. `mark`: `required`, `optional` or nothing. */
export function describeType(schema: Schema, mark: string, resolve: Resolve, linkOf: LinkOf): string {
  const type = typeOf(schema, resolve, linkOf);
  const marked = mark && `${mark}${/^(?:one of|`)/.test(type) ? ',' : ''} `;
  return [marked + type, ...limitsOf(schema, resolve)].join(', ');
}

/** Returns the limits of a value and its default: `1 to 255 characters`. */
function limitsOf(schema: Schema, resolve: Resolve): string[] {
  const target = resolve(schema);
  const choices = (target.anyOf ?? target.oneOf ?? []).map(resolve);
  // alternatives differ in their limits only if several of them have any
  const single = choices.filter(({ type }) => type !== 'null');
  const own = single.length === 1 ? { ...single[0]!, default: target.default } : target;
  const pattern =
    own.pattern && (patterns[own.pattern] ?? (own.pattern.length <= MAX_PATTERN ? `matches ${code(own.pattern)}` : ''));
  return [
    range(own.minLength, own.maxLength, 'characters'),
    range(own.minItems, own.maxItems, 'items'),
    range(finite(own.minimum), finite(own.maximum), ''),
    ...(own.items ? limitsOf(own.items, resolve).map((limit) => `each ${limit}`) : []),
    pattern,
    own.default === undefined ? '' : `default ${code(own.default)}`,
  ].filter((limit): limit is string => Boolean(limit));
}

/** Undefined for the bounds of the integers that JSON can represent, which every integer has. */
const finite = (bound: number | undefined) =>
  bound !== undefined && Math.abs(bound) >= Number.MAX_SAFE_INTEGER ? undefined : bound;

function range(min: number | undefined, max: number | undefined, unit: string): string {
  const written = (value: number) => `${value.toLocaleString('en')}${unit && ` ${value === 1 ? unit.slice(0, -1) : unit}`}`;
  if (max === undefined) return min === undefined || (min === 0 && unit) ? '' : `at least ${written(min)}`;
  if (min === undefined || (min === 0 && unit)) return `at most ${written(max)}`;
  return min === max ? `exactly ${written(max)}` : `${min.toLocaleString('en')} to ${written(max)}`;
}
