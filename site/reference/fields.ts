import type { Schema } from './document.ts';
import { code, describeType, type LinkOf, type Resolve } from './type_text.ts';

// Tables of fields. A nested field has the path of its parents: `actor.type`, `items[].name`.

export interface Field {
  path: string;
  schema: Schema;
  required: boolean;
}

export interface Context {
  resolve: Resolve;
  linkOf: LinkOf;
  /** Requests name the fields that are required, responses those that may be absent. */
  isRequest: boolean;
}

/** Returns the fields of an object and of the objects in it. Components with a section of their own are not expanded. */
export function fieldsOf(schema: Schema, context: Context, prefix = ''): Field[] {
  const { properties = {}, required = [] } = context.resolve(schema);
  return Object.entries(properties).flatMap(([name, property]) => {
    const field = { path: prefix + name, schema: property, required: required.includes(name) };
    return [field, ...nested(property, context, field.path)];
  });
}

function nested(schema: Schema, context: Context, path: string): Field[] {
  if (context.linkOf(schema.$ref?.replace('#/components/schemas/', '') ?? '')) return [];
  const target = context.resolve(schema);
  if (target.type === 'array' && target.items) return nested(target.items, context, `${path}[]`);
  const choices = target.anyOf ?? target.oneOf;
  if (!choices) return fieldsOf(target, context, `${path}.`);
  const all = choices.flatMap((choice) => nested(choice, context, path));
  return all
    .filter((field, i) => all.findIndex((other) => other.path === field.path) === i)
    .map((field) => ({ ...field, required: false }));
}

/** Returns a Markdown table of the fields; a sentence if there are none. */
export function fieldTable(fields: Field[], context: Context): string {
  if (fields.length === 0) return 'An object; its fields depend on the case.';
  const rows = fields.map(({ path, schema, required }) => {
    const mark = context.isRequest && required ? 'required' : !context.isRequest && !required ? 'optional' : '';
    return [code(path), describeType(schema, mark, context.resolve, context.linkOf), aboutOf(schema, context)];
  });
  return tableOf(['Field', 'Type', 'Description'], rows);
}

function aboutOf(schema: Schema, { resolve }: Context): string {
  const target = resolve(schema);
  const choice = (target.anyOf ?? target.oneOf)?.find(({ description }) => description);
  return sentence(schema.description ?? target.description ?? choice?.description ?? target.items?.description ?? '');
}

/** Descriptions in the document begin with a small letter and have no full stop. */
export function sentence(text: string): string {
  const trimmed = text.trim();
  if (trimmed === '') return '';
  const begun = /^[a-z]+\b(?![_`])/.test(trimmed) ? trimmed[0]!.toUpperCase() + trimmed.slice(1) : trimmed;
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}

export function tableOf(head: string[], rows: string[][]): string {
  const line = (cells: string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|').replaceAll('\n', ' ')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

/** The branches of a union that one field tells apart, such as the kinds of an event. */
export interface Variants {
  discriminator: string;
  /** Fields that all branches have alike. */
  common: Field[];
  branches: { value: unknown; fields: Field[] }[];
}

/** Returns undefined if no field tells the branches apart. */
export function variantsOf(branches: Schema[], context: Context): Variants | undefined {
  const objects = branches.map(context.resolve);
  const [first] = objects;
  const names = Object.keys(first?.properties ?? {});
  const discriminator = names.find((name) => objects.every(({ properties }) => properties?.[name]?.const !== undefined));
  if (!first || !discriminator) return undefined;
  const isCommon = (name: string) =>
    name !== discriminator &&
    objects.every((object) => JSON.stringify(shapeOf(object, name)) === JSON.stringify(shapeOf(first, name)));
  const pick = (object: Schema, keep: (name: string) => boolean) => {
    const properties = Object.entries(object.properties!).filter(([name]) => keep(name));
    return { ...object, properties: Object.fromEntries(properties) };
  };
  const values = objects.map(({ properties }) => properties![discriminator]!);
  const kind: Field = {
    path: discriminator,
    schema: {
      enum: values.map((value) => value.const),
      default: values.find((value) => 'default' in value)?.default,
      description: values[0]!.description,
    },
    required: objects.every(({ required }) => required?.includes(discriminator)),
  };
  return {
    discriminator,
    common: [kind, ...fieldsOf(pick(first, isCommon), context)],
    branches: objects.map((object) => ({
      value: object.properties![discriminator]!.const,
      fields: fieldsOf(
        pick(object, (name) => name !== discriminator && !isCommon(name)),
        context,
      ),
    })),
  };
}

const shapeOf = ({ properties, required }: Schema, name: string) => [properties?.[name], required?.includes(name) ?? false];
