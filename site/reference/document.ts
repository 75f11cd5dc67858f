import { readFileSync } from 'node:fs';
import { join } from 'node:path';

// The parts of openapi.json that the reference shows.

export interface Schema {
  $ref?: string;
  type?: string | string[];
  description?: string;
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: boolean | Schema;
  items?: Schema;
  oneOf?: Schema[];
  anyOf?: Schema[];
  enum?: unknown[];
  const?: unknown;
  default?: unknown;
  format?: string;
  pattern?: string;
  minLength?: number;
  maxLength?: number;
  minimum?: number;
  maximum?: number;
  minItems?: number;
  maxItems?: number;
}

export interface Parameter {
  name: string;
  in: 'path' | 'query' | 'header';
  description?: string;
  required?: boolean;
  schema: Schema;
  example?: unknown;
}

export interface Media {
  schema?: Schema;
  example?: unknown;
}

export interface Response {
  description: string;
  headers?: Record<string, unknown>;
  content?: Record<string, Media>;
}

interface Operation {
  operationId: string;
  summary: string;
  description?: string;
  tags: string[];
  security?: unknown[];
  parameters: Parameter[];
  requestBody?: { description?: string; content: Record<string, Media> };
  responses: Record<string, Response>;
}

/** An operation with its place in the document. */
export interface Endpoint extends Operation {
  method: string;
  path: string;
}

export interface OpenApi {
  info: { title: string; version: string; description: string };
  tags: { name: string }[];
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Schema> };
}

export const readDocument = (root: string): OpenApi => JSON.parse(readFileSync(join(root, 'openapi.json'), 'utf8')) as OpenApi;

export const endpointsOf = ({ paths }: OpenApi): Endpoint[] =>
  Object.entries(paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, operation]) => ({ method: method.toUpperCase(), path, ...operation })),
  );

/** The name of a component, of a reference to a schema. */
export const nameOf = ({ $ref }: Schema): string | undefined => $ref?.replace('#/components/schemas/', '');

/** The media types of successful responses. */
export const isSuccess = (status: string): boolean => Number(status) < 300;

const PROBLEM_TYPE = '/docs/problems#';

export interface ProblemType {
  type: string;
  status: number;
  title: string;
  advice: string;
}

/** The problem types, in the order of the document. */
export function problemsOf({ components }: OpenApi): Map<string, ProblemType> {
  const problems = Object.entries(components.schemas).flatMap(([name, { description = '', properties = {} }]) => {
    const { type, status, title } = properties;
    if (typeof type?.const !== 'string' || !type.const.startsWith(PROBLEM_TYPE)) return [];
    const problem = {
      type: type.const.slice(PROBLEM_TYPE.length),
      status: status!.const,
      title: title!.const,
      advice: description,
    };
    return [[name, problem as ProblemType] as const];
  });
  return new Map(problems);
}
