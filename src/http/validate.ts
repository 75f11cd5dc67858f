import { z } from 'zod';
import { escapePointer } from './json.ts';
import type { FieldError } from './problem.ts';
import { UNKNOWN_FIELD, unionOf } from './validation_messages.ts';

// Validation errors of a value, at most one per location. If the value matches no member of a union, the errors are those of the
// member that the client most likely meant. If the discriminator itself is invalid, they are the errors that all members share.

type Issue = z.core.$ZodIssue;
type Place = 'pointer' | 'parameter';

/** Bounds the answer: a body may have ten thousand unknown fields. */
const MAX_FAULTS = 50;

/** Returns the parsed value, or appends its errors to `faults`. */
export function validate(schema: z.ZodType | undefined, value: unknown, place: Place, faults: FieldError[]): unknown {
  if (!schema) return undefined;
  const result = schema.safeParse(value, { reportInput: true });
  if (result.success) return result.data;
  const causes = result.error.issues.flatMap((issue) => causesOf(issue));
  const ofWrongType = new Set(causes.filter(({ wrongType }) => wrongType).map(({ path }) => pointerOf(path)));
  const reported = new Set<string>();
  for (const { path, detail } of causes) {
    if (faults.length >= MAX_FAULTS) break;
    const where = place === 'pointer' ? pointerOf(path) : path.join('.');
    if (reported.has(where) || path.some((_, depth) => ofWrongType.has(pointerOf(path.slice(0, depth))))) continue;
    reported.add(where);
    const repeated = place === 'parameter' && Array.isArray((value as Record<string, unknown>)[where]);
    faults.push({ [place]: where, detail: repeated ? 'must not be repeated' : detail });
  }
  return undefined;
}

interface Cause {
  path: PropertyKey[];
  detail: string;
  /** The value has the wrong type, so errors inside it are not reported. */
  wrongType?: boolean;
}

function causesOf(issue: Issue, prefix: PropertyKey[] = []): Cause[] {
  const path = [...prefix, ...issue.path];
  if (issue.code === 'unrecognized_keys')
    return issue.keys.slice(0, MAX_FAULTS).map((key) => ({ path: [...path, key], detail: UNKNOWN_FIELD }));
  if (issue.code !== 'invalid_union') return [{ path, detail: issue.message, wrongType: issue.code === 'invalid_type' }];
  const types = typesOf(issue.errors);
  if (types !== undefined) return [{ path, detail: types, wrongType: true }];
  const { discriminator, input } = issue as { discriminator?: string; input?: unknown };
  const options = optionsOf(unionOf(input));
  if (discriminator !== undefined) return [{ path, detail: issue.message }, ...sharedBy(options, input, path.slice(0, -1))];
  if (options.length > 0) return withinOption(meant(options, input as object), input, path);
  const [closest] = [...issue.errors].sort((a, b) => distance(a) - distance(b));
  return closest ? closest.flatMap((inner) => causesOf(inner, path)) : [{ path, detail: issue.message }];
}

/** Returns the expected types joined by "or" if the value has the type of no union member; undefined otherwise. */
function typesOf(members: Issue[][]): string | undefined {
  const details = members.map((issues) => issues.find(({ code, path }) => path.length === 0 && isOfType(code))?.message);
  if (details.length === 0 || details.includes(undefined)) return undefined;
  return [...new Set(details)].map((detail, at) => (at === 0 ? detail : detail!.replace(/^must be /, ''))).join(' or ');
}

const isOfType = (code: Issue['code']) => code === 'invalid_type' || code === 'invalid_value';

const withinOption = (option: z.core.$ZodType, input: unknown, path: PropertyKey[]): Cause[] =>
  z.core.safeParse(option, input, { reportInput: true }).error?.issues.flatMap((inner) => causesOf(inner, path)) ?? [];

/** Returns the errors that the value has under every member. */
function sharedBy(options: z.core.$ZodType[], input: unknown, path: PropertyKey[]): Cause[] {
  const [first = [], ...others] = options.map((option) => withinOption(option, input, path));
  const keyOf = (cause: Cause) => JSON.stringify([cause.path.map(String), cause.detail]);
  return others.reduce((shared, causes) => {
    const keys = new Set(causes.map(keyOf));
    return shared.filter((cause) => keys.has(keyOf(cause)));
  }, first);
}

/** Returns the member that declares most of the fields. Ties are broken by distance, then by order. */
function meant(options: z.core.$ZodType[], input: object): z.core.$ZodType {
  const fields = Object.keys(input);
  const ranked = options.map((option) => {
    const names = fieldsOf(option);
    const known = fields.filter((field) => names.has(field)).length;
    return { option, known, far: distance(z.core.safeParse(option, input).error?.issues ?? []) };
  });
  return ranked.reduce((best, one) => (one.known > best.known || (one.known === best.known && one.far < best.far) ? one : best))
    .option;
}

const optionsOf = (union: z.core.$ZodUnion | undefined): z.core.$ZodType[] => [...(union?._zod.def.options ?? [])];

function fieldsOf(schema: z.core.$ZodType): Set<string> {
  const {
    shape,
    options,
    innerType,
    in: input,
  } = schema._zod.def as {
    shape?: object;
    options?: z.core.$ZodType[];
    innerType?: z.core.$ZodType;
    in?: z.core.$ZodType;
  };
  if (options) return new Set(options.flatMap((option) => [...fieldsOf(option)]));
  const inner = innerType ?? input;
  return inner ? fieldsOf(inner) : new Set(Object.keys(shape ?? {}));
}

/** Measures how far a value is from a member. A deep issue counts less, because more of the value was valid. */
const distance = (issues: Issue[]): number => issues.reduce((sum, { path }) => sum + 1 / 10 ** path.length, 0);

const pointerOf = (path: PropertyKey[]): string => ['#', ...path.map((part) => escapePointer(String(part)))].join('/');
