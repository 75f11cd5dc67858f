import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import { RE2JS } from 're2js';
import { type ArgsCheck, isObject, sizeOf } from './args_size.ts';

// JSON schemas of tool arguments. Clients write both the schema and the arguments, and both are evaluated on the event loop, so the work is
// bounded by their sizes and not by a time limit, whose result would depend on the machine. Patterns run on RE2, which is linear in the text.
// References are expanded into a tree of at most MAX_NODES, in which each node is applied to each value at most once.

type Json = Record<string, unknown>;

const MAX_SCHEMA_BYTES = 16_384;
const MAX_NODES = 1_000;
const MAX_DEPTH = 64;
const MAX_PATTERN = 500;
/** Instructions of all RE2 programs of a schema. */
const MAX_PROGRAM = 5_000;
/** `uniqueItems` compares every pair of items. */
const MAX_UNIQUE_ITEMS = 200;
/** Schemas of a definition, and nodes of all of them together. They are compiled when they are written and when they are first used. */
const MAX_SCHEMAS = 32;
const MAX_TOTAL_NODES = 2_000;
const DIALECT = 'https://json-schema.org/draft/2020-12/schema';

const SUBSCHEMA = ['items', 'contains', 'additionalProperties', 'propertyNames', 'not', 'if', 'then', 'else'];
const SUBSCHEMA_LISTS = ['prefixItems', 'allOf', 'anyOf', 'oneOf'];
const SUBSCHEMA_MAPS = ['properties', 'patternProperties', 'dependentSchemas'];
const PLAIN = [
  ...['type', 'enum', 'const', 'required', 'minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'multipleOf'],
  ...['minLength', 'maxLength', 'pattern', 'minItems', 'maxItems', 'uniqueItems', 'minContains', 'maxContains'],
  ...['minProperties', 'maxProperties', 'dependentRequired', 'title', 'description', 'default', 'examples', 'deprecated'],
  ...['$schema', '$comment'],
];
/** Each value inside of them is compared on its own, so it counts as a node. */
const COMPARED = ['enum', 'const', 'required', 'dependentRequired'];
const DEFINITIONS = ['$defs', 'definitions'];

class SchemaFault extends Error {}

interface Tree {
  nodes: number;
  /** Comparisons per item of arrays with `uniqueItems`. */
  pairs: number;
  program: number;
}

const options = {
  strict: true,
  strictTypes: false,
  strictTuples: false,
  strictRequired: false,
  validateFormats: false,
  logger: false,
} as const;

/** Compiled once, because the meta-schema is larger than most schemas. */
const dialect = new Ajv2020(options);

/** Returns why the schemas of a definition are not accepted together, with the name of the first that is not; undefined if they are. */
export function schemasFault(schemas: Readonly<Record<string, unknown>>): { name?: string; fault: string } | undefined {
  const named = Object.entries(schemas);
  if (named.length > MAX_SCHEMAS) return { fault: `must have at most ${MAX_SCHEMAS} schemas of arguments` };
  let nodes = 0;
  for (const [name, schema] of named) {
    const fault = faultOf(() => {
      nodes += treeOf(schema).tree.nodes;
    });
    if (fault !== undefined) return { name, fault };
    if (nodes > MAX_TOTAL_NODES)
      return {
        fault: `must have at most ${MAX_TOTAL_NODES} subschemas and compared values in all schemas of arguments together`,
      };
  }
  return undefined;
}

/** Returns why a schema is not accepted; undefined if it is. */
export const schemaFault = (schema: unknown): string | undefined => faultOf(() => compileSchema(schema));

function faultOf(work: () => unknown): string | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    return error instanceof SchemaFault ? error.message : `is not a valid JSON schema: ${(error as Error).message.slice(0, 200)}`;
  }
}

/** Copies a schema with its references expanded. Throws if it is too large, or uses what is not accepted. */
function treeOf(schema: unknown): { expanded: Json; tree: Tree } {
  if (JSON.stringify(schema).length > MAX_SCHEMA_BYTES) throw new SchemaFault(`must have at most ${MAX_SCHEMA_BYTES} characters`);
  const tree: Tree = { nodes: 0, pairs: 0, program: 0 };
  return { expanded: expand(schema, schema as Json, tree, []) as Json, tree };
}

/** Compiles a schema. Throws if it is not accepted. */
export function compileSchema(schema: unknown): ArgsCheck {
  const { expanded, tree } = treeOf(schema);
  void dialect.validateSchema(expanded, true);
  // an instance of its own, because an instance keeps what it compiled
  const ajv = new Ajv2020({ ...options, meta: false, validateSchema: false, code: { regExp: re2 } });
  const validate = ajv.compile(expanded);
  return {
    stepsFor: ({ values, characters }) => (tree.nodes + tree.pairs) * values + tree.program * characters,
    faultIn: (args) => (validate(args) ? undefined : faultIn(validate)),
  };
}

/** Names the place and the rule, not the value, because the answer must not repeat arguments. */
function faultIn({ errors }: ValidateFunction): string {
  const [first] = errors ?? [];
  return `${first?.instancePath || 'the arguments'} ${first?.message ?? 'do not match the schema'}`.slice(0, 300);
}

/** Makes a pattern of RE2, as ajv calls it. ajv identifies patterns by their text. */
const re2 = Object.assign(
  (pattern: string) => {
    const compiled = RE2JS.compile(pattern);
    return { test: (text: string) => compiled.test(text), toString: () => pattern };
  },
  { code: 're2' },
);

/** Copies a schema with its references expanded, and counts its nodes. */
function expand(node: unknown, root: Json, tree: Tree, within: string[]): unknown {
  countNodes(1, tree);
  if (within.length > MAX_DEPTH) throw new SchemaFault(`must be nested at most ${MAX_DEPTH} levels deep`);
  if (typeof node === 'boolean') return node;
  if (!isObject(node)) throw new SchemaFault('must consist of objects and booleans');
  const { $ref, ...rest } = node;
  const own = Object.fromEntries(
    Object.entries(rest)
      .filter(([key]) => !DEFINITIONS.includes(key))
      .map(([key, value]) => [key, expandKeyword(key, value, node, root, tree, within)]),
  );
  if ($ref === undefined) return own;
  if (typeof $ref !== 'string' || !$ref.startsWith('#/')) throw new SchemaFault('must not refer to anything outside of itself');
  if (within.includes($ref)) throw new SchemaFault('must not contain recursive references');
  const target = expand(resolve(root, $ref), root, tree, [...within, $ref]);
  const all = Array.isArray(own.allOf) ? own.allOf : [];
  return { ...own, allOf: [...all, target] };
}

function countNodes(count: number, tree: Tree): void {
  tree.nodes += count;
  if (tree.nodes > MAX_NODES)
    throw new SchemaFault(`must have at most ${MAX_NODES} subschemas and compared values after its references are expanded`);
}

function expandKeyword(key: string, value: unknown, node: Json, root: Json, tree: Tree, within: string[]): unknown {
  const deeper = [...within, ''];
  const below = (one: unknown) => expand(one, root, tree, deeper);
  if (SUBSCHEMA.includes(key)) return below(value);
  if (SUBSCHEMA_LISTS.includes(key) && Array.isArray(value)) return value.map(below);
  if (SUBSCHEMA_MAPS.includes(key) && isObject(value)) {
    if (key === 'patternProperties') for (const pattern of Object.keys(value)) countProgram(pattern, tree);
    return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, below(one)]));
  }
  if (!PLAIN.includes(key)) throw new SchemaFault(`must not use ${JSON.stringify(key.slice(0, 40))}`);
  if (key === '$schema' && value !== DIALECT) throw new SchemaFault(`must set $schema to ${DIALECT} or omit it`);
  if (COMPARED.includes(key)) countNodes(sizeOf(value).values, tree);
  if (key === 'pattern') countProgram(value, tree);
  if (key === 'uniqueItems' && value === true) {
    if (!(Number(node.maxItems) <= MAX_UNIQUE_ITEMS))
      throw new SchemaFault(`must limit maxItems to ${MAX_UNIQUE_ITEMS} where it uses uniqueItems`);
    tree.pairs += Number(node.maxItems);
  }
  return value;
}

function countProgram(pattern: unknown, tree: Tree): void {
  if (typeof pattern !== 'string' || pattern.length > MAX_PATTERN)
    throw new SchemaFault(`must have patterns of at most ${MAX_PATTERN} characters`);
  try {
    tree.program += RE2JS.compile(pattern).programSize();
  } catch {
    throw new SchemaFault(`must have patterns in the syntax of RE2, without look-around and back-references`);
  }
  if (tree.program > MAX_PROGRAM) throw new SchemaFault('must have simpler patterns');
}

/** Follows a reference, such as `#/$defs/path`. */
function resolve(root: Json, ref: string): unknown {
  let node: unknown = root;
  for (const part of ref.slice(2).split('/')) {
    const name = part.replaceAll('~1', '/').replaceAll('~0', '~');
    if (!isObject(node) || !Object.hasOwn(node, name))
      throw new SchemaFault(`must not refer to ${JSON.stringify(ref.slice(0, 60))}, which is missing`);
    node = node[name];
  }
  return node;
}
