import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** A request that documents an operation, and the response recorded for it by `npm run examples`. */
export interface Example {
  /** Method and path as in the routes, such as `POST /v1/events`. */
  operation: string;
  /** Name of the example whose response contains the credential. Without it the request has none. */
  as?: string;
  /** Names of examples that must run earlier although this one does not refer to them. */
  after?: string[];
  params?: Record<string, string>;
  query?: Record<string, string | number>;
  headers?: Record<string, string>;
  /** A string is sent as it is, anything else as JSON. */
  body?: unknown;
  /** Repeats the request until the response contains this text, which the service writes asynchronously. */
  until?: string;
  /** The part of the response that is recorded: its first lines or server-sent events, or the lines or members with these names. */
  excerpt?: number | string[];
  /** Written by `npm run examples`. */
  response?: RecordedResponse;
}

export interface RecordedResponse {
  status: number;
  headers?: Record<string, string>;
  body?: unknown;
}

/** Examples by name. Names are unique across features. */
export type Examples = Record<string, Example>;

/** Reads the `examples.json` of a feature. */
export const readExamples = (directory: string): Examples =>
  JSON.parse(readFileSync(join(directory, 'examples.json'), 'utf8')) as Examples;

const placeholder = /\{\{(\w+)((?:\.\w[\w-]*)*)\}\}/g;

type ResponseOf = (name: string) => RecordedResponse | undefined;

/**
 * Replaces `{{name.path}}` by that member of the response to the example `name`, `{{name}}` by the whole body and `{{name.headers.ETag}}`
 * by a header. A string that is one placeholder gets the type of its value. A placeholder without a value stays.
 */
export function resolve<T>(template: T, responseOf: ResponseOf): T {
  const visit = (node: unknown): unknown => {
    if (typeof node === 'string') {
      const [first] = node.matchAll(placeholder);
      if (first?.[0] === node) return valueAt(first[1]!, first[2]!, responseOf) ?? node;
      return node.replaceAll(placeholder, (text, name, path) => String(valueAt(name, path, responseOf) ?? text));
    }
    if (Array.isArray(node)) return node.map(visit);
    if (typeof node !== 'object' || node === null) return node;
    return Object.fromEntries(Object.entries(node).map(([key, value]) => [key, visit(value)]));
  };
  return visit(template) as T;
}

function valueAt(name: string, path: string, responseOf: ResponseOf): unknown {
  const { headers, body } = responseOf(name) ?? {};
  const [first, ...rest] = path.split('.').slice(1);
  const members = first === 'headers' ? { headers } : body;
  return [...(first === undefined ? [] : [first]), ...rest].reduce<unknown>((node, part) => Object(node)[part], members);
}

/** Names of the examples that must run before this one. */
export function dependenciesOf({ as, after = [], params, query, headers, body }: Example): string[] {
  const named = [...JSON.stringify([params, query, headers, body]).matchAll(placeholder)].map(([, name]) => name!);
  return [...new Set([...(as === undefined ? [] : [as]), ...after, ...named])];
}
