import { type Example, type Examples, resolve } from '../examples.ts';
import type { OpenApi, Operation } from './openapi.ts';

type Media = Record<string, { schema?: unknown; example?: unknown }>;
type Parameter = { name: string; in: string; example?: unknown };

/**
 * Adds the examples to the operations. The parameters and the request body are those of the operation's first example, so that together they
 * are one request. A response gets the body of the first example that has its status and media type.
 */
export function withExamples(document: OpenApi, examples: Examples): OpenApi {
  const responseOf = (name: string) => examples[name]?.response;
  const all = Object.values(examples).map((example) => resolve(example, responseOf));
  const paths = Object.entries(document.paths).map(([path, operations]) => {
    const illustrated = Object.entries(operations).map(([method, operation]) => {
      const own = all.filter((example) => example.operation === `${method.toUpperCase()} ${path}`);
      const requested = own[0] ? withRequest(operation, own[0]) : operation;
      return [method, own.reduce(withResponse, requested)];
    });
    return [path, Object.fromEntries(illustrated)];
  });
  return { ...document, paths: Object.fromEntries(paths) };
}

function withRequest(operation: Operation, example: Example): Operation {
  const { parameters = [], requestBody } = operation as { parameters?: Parameter[]; requestBody?: { content: Media } };
  const values = new Map<string, unknown>([
    ...valuesOf('path', example.params),
    ...valuesOf('query', example.query),
    ...valuesOf('header', example.headers),
  ]);
  return {
    ...operation,
    parameters: parameters.map((parameter) =>
      withExample(parameter, values.get(`${parameter.in} ${parameter.name.toLowerCase()}`)),
    ),
    ...(requestBody && {
      requestBody: { ...requestBody, content: withMediaExample(requestBody.content, headerOf(example.headers), example.body) },
    }),
  };
}

function withResponse(operation: Operation, example: Example): Operation {
  const { status = 0, headers, body } = example.response ?? {};
  const response = operation.responses[status];
  if (!response?.content) return operation;
  const content = withMediaExample(response.content, headerOf(headers), body);
  return { ...operation, responses: { ...operation.responses, [status]: { ...response, content } } };
}

const valuesOf = (place: string, values: Record<string, string | number> = {}) =>
  Object.entries(values).map(([name, value]) => [`${place} ${name.toLowerCase()}`, value] as const);

const headerOf = (headers: Record<string, string> = {}): string => headers['Content-Type']?.split(';')[0] ?? 'application/json';

function withMediaExample(content: Media, mediaType: string, value: unknown): Media {
  const key = mediaType in content ? mediaType : '*/*';
  return key in content ? { ...content, [key]: withExample(content[key]!, value) } : content;
}

const withExample = <T extends { example?: unknown }>(target: T, value: unknown): T =>
  target.example !== undefined || value === undefined ? target : { ...target, example: value };
