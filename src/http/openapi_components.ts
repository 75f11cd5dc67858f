import { z } from 'zod';

type Json = Record<string, unknown>;
type Io = 'input' | 'output';
/** Returns the schema, or a `$ref` to the component that holds it. */
export type Ref = (schema: z.ZodType, io: Io) => Json;

/**
 * Collects schemas with an id (`.meta({ id })`) as components. If the input and output forms differ (defaults, strictness), the input form
 * is named `<Id>Input`.
 */
export function createComponents() {
  const collected = { input: new Map<string, Json>(), output: new Map<string, Json>() };
  const mark = (io: Io, id: string) => `#/components/schemas/${io}:${id}`;

  function ref(schema: z.ZodType, io: Io): Json {
    const { $defs, properties } = toJson(z.object({ root: schema }), io) as { $defs?: Record<string, Json>; properties: Json };
    const marked = (node: unknown) => mapRefs(node, (target) => mark(io, target.replace('#/$defs/', '')));
    for (const [id, definition] of Object.entries($defs ?? {})) collected[io].set(id, marked(definition) as Json);
    return marked(properties.root) as Json;
  }

  const nameOf = (io: Io, id: string): string => {
    const other = io === 'input' ? collected.output.get(id) : undefined;
    const same = other === undefined || mapKey(other) === mapKey(collected.input.get(id)!);
    return same ? id : `${id}Input`;
  };
  const mapKey = (node: Json) => JSON.stringify(node).replaceAll(/schemas\/(input|output):/g, '');
  const named = <T>(node: T): T =>
    mapRefs(node, (target) => {
      const [, io, id] = /^#\/components\/schemas\/(input|output):(.+)$/.exec(target) ?? [];
      return id === undefined ? target : `#/components/schemas/${nameOf(io as Io, id)}`;
    }) as T;
  const schemas = () => {
    const all = (['input', 'output'] as const).flatMap((io) =>
      [...collected[io]].map(([id, json]) => [nameOf(io, id), named(json)] as const),
    );
    return Object.fromEntries(all.sort(([a], [b]) => (a < b ? -1 : 1)));
  };
  return { ref, named, schemas };
}

function toJson(schema: z.ZodType, io: Io): unknown {
  return z.toJSONSchema(schema, {
    io,
    unrepresentable: 'any',
    override: ({ jsonSchema }) => {
      // redundant with the format, and half a page long
      if (jsonSchema.format === 'date-time') delete jsonSchema.pattern;
      // clients must accept fields that later releases add
      if (io === 'output' && jsonSchema.additionalProperties === false) delete jsonSchema.additionalProperties;
    },
  });
}

function mapRefs(node: unknown, rename: (target: string) => string): unknown {
  if (Array.isArray(node)) return node.map((item) => mapRefs(item, rename));
  if (typeof node !== 'object' || node === null) return node;
  const entries = Object.entries(node).map(([key, value]) => [
    key,
    key === '$ref' && typeof value === 'string' ? rename(value) : mapRefs(value, rename),
  ]);
  return Object.fromEntries(entries);
}
