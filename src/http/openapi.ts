import type { z } from 'zod';
import { isFenced } from './fence.ts';
import { createComponents, type Ref } from './openapi_components.ts';
import { idempotencyKey, ifMatch, ifNoneMatch, lastEventId, leaseHeader, onlyNew, range } from './openapi_headers.ts';
import { type ProblemType, problems, problemType } from './problem.ts';
import { type Answer, type Route, requiresBody } from './route.ts';

// Generates the OpenAPI 3.1 document from the route values that `serve` validates with, so that the two cannot disagree.

type Json = Record<string, unknown>;
type Content = Record<string, { schema?: Json; example?: unknown }>;

export interface Operation {
  operationId: string;
  summary: string;
  tags: string[];
  responses: Record<string, { description: string; headers: Json; content?: Content }>;
  [member: string]: unknown;
}

export interface OpenApi {
  openapi: '3.1.0';
  info: { title: string; version: string; description: string };
  tags: { name: string; description?: string }[];
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Json> } & Json;
  [member: string]: unknown;
}

const description = `One append-only log per tenant; everything else is a view of it.

Requests and responses are JSON in UTF-8. Unknown fields are rejected, never ignored. Errors are problem documents (RFC 9457).
Every write under /v1 accepts \`Idempotency-Key\`, and \`Lease\`, with which it depends on a lease.`;

/** `tagDescriptions` are by tag. */
export function openapi(routes: Route<never>[], version: string, tagDescriptions: Record<string, string> = {}): OpenApi {
  const components = createComponents();
  const paths: OpenApi['paths'] = {};
  for (const route of routes) {
    const path = route.path.replace('{+', '{');
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operationOf(route, components.ref) };
  }
  const document: OpenApi = {
    openapi: '3.1.0',
    info: { title: 'Agent Memory', version, description },
    servers: [{ url: '/' }],
    tags: [...new Set(routes.map((route) => route.tag))].map((name) => ({ name, description: tagDescriptions[name] })),
    security: [{ bearer: [] }, { key: [] }, { key: [], signature: [], digest: [] }],
    paths,
    components: {
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT', description: 'Access token or capability' },
        key: { type: 'apiKey', in: 'header', name: 'X-API-Key', description: 'API key, or the id of a signed key' },
        signature: {
          type: 'apiKey',
          in: 'header',
          name: 'X-Signature',
          description:
            '`t=<Unix seconds>,n=<nonce>,v1=<hex>`: HMAC-SHA256 by the key over method, path with query, t, n and Content-Digest, one per line',
        },
        digest: {
          type: 'apiKey',
          in: 'header',
          name: 'Content-Digest',
          description: '`sha-256=:<base64>:`, the SHA-256 of the body of a signed request',
        },
      },
      headers,
      schemas: {},
    },
  };
  const named = components.schemas();
  const schemas = { ...named, ...problemSchemas() };
  return punctuate({ ...components.named(document), components: { ...document.components, schemas } });
}

/** Makes each description a sentence, because authors write phrases as well as sentences. */
function punctuate<T>(node: T): T {
  if (Array.isArray(node)) return node.map(punctuate) as T;
  if (typeof node !== 'object' || node === null) return node;
  const entries = Object.entries(node).map(([key, value]) => [
    key,
    key === 'description' && typeof value === 'string'
      ? value.replace(/^[a-z]/, (first) => first.toUpperCase()).replace(/[^.?!]$/, '$&.')
      : punctuate(value),
  ]);
  return Object.fromEntries(entries);
}

function operationOf(route: Route<never>, ref: Ref): Operation {
  return {
    operationId: route.operation,
    summary: route.summary,
    tags: [route.tag],
    ...describe(route),
    ...(route.access === 'none' && { security: [] }),
    parameters: parametersOf(route, ref),
    ...requestBody(route, ref),
    responses: responsesOf(route, ref),
  };
}

function describe({ description = '', access, capability }: Route<never>): { description?: string } {
  const scope = access === 'none' || access === 'any' ? '' : `Requires the scope \`${access}\`.`;
  const accepted = capability ? 'Accepts capabilities.' : '';
  const text = [description, scope, accepted].filter((sentence) => sentence !== '').join(' ');
  return text === '' ? {} : { description: text };
}

function parametersOf(route: Route<never>, ref: Ref): Json[] {
  const answers = [route.success, ...(route.otherAnswers ?? [])];
  return [
    ...expand(route.params, 'path', ref),
    ...expand(route.query, 'query', ref),
    ...(route.idempotent ? [idempotencyKey] : []),
    ...(isFenced(route) ? [leaseHeader] : []),
    ...(answers.some(({ mediaType }) => mediaType === 'text/event-stream') ? [lastEventId] : []),
    ...(answers.some(({ status }) => status === 206) ? [range] : []),
    ...(route.problems.includes('precondition-failed') ? [isCreation(route) ? onlyNew : ifMatch] : []),
    ...(isUpsert(route) ? [onlyNew] : []),
    ...(hasEtagReads(route) ? [ifNoneMatch] : []),
  ];
}

const isCreation = ({ method, params }: Route<never>): boolean => method === 'POST' && params === undefined;
const isUpsert = ({ method, otherAnswers = [] }: Route<never>): boolean =>
  method === 'PUT' && otherAnswers.some(({ status }) => status === 201);
/** Returns true for a read that answers 304 if the client has the current version. */
const hasEtagReads = ({ otherAnswers = [] }: Route<never>): boolean => otherAnswers.some(({ status }) => status === 304);

/** Returns one parameter per field of an object of strings, with the type that the string is parsed into. */
function expand(schema: z.ZodType | undefined, place: 'path' | 'query', ref: Ref): Json[] {
  if (!schema) return [];
  const input = ref(schema, 'input') as { properties?: Record<string, Json>; required?: string[] };
  const output = ref(schema, 'output') as { properties?: Record<string, Json> };
  return Object.entries(input.properties ?? {}).map(([name, written]) => {
    const read = output.properties?.[name] ?? {};
    const { description, ...shape } = typeof read.type === 'string' && read.type !== 'string' ? read : written;
    if (shape.type === 'number' && String(written.pattern).startsWith('^\\d')) shape.type = 'integer';
    const about = written.description ?? description;
    return {
      name,
      in: place,
      ...(about !== undefined && { description: about }),
      ...((place === 'path' || input.required?.includes(name)) && { required: true }),
      schema: shape,
    };
  });
}

function requestBody(route: Route<never>, ref: Ref): Json {
  if (route.raw) return { requestBody: { description: 'Bytes of any media type', content: { '*/*': {} } } };
  if (route.bodyStream)
    return { requestBody: { required: true, content: { [route.bodyStream]: { schema: { type: 'string' } } } } };
  if (!route.body) return {};
  const schema = ref(route.body, 'input');
  const types = route.bodyTypes ?? ['application/json'];
  return { requestBody: { required: requiresBody(route), content: Object.fromEntries(types.map((type) => [type, { schema }])) } };
}

/** Returns the responses by status. Success and problems with the same status differ in media type. */
function responsesOf(route: Route<never>, ref: Ref): Operation['responses'] {
  const responses: Operation['responses'] = {};
  const add = (status: number, description: string, content: Content) => {
    const before = responses[status];
    const all = { ...before?.content, ...content };
    responses[status] = {
      description: before ? `${before.description}. ${description}` : description,
      headers: headersOf(route, status),
      ...(Object.keys(all).length > 0 && { content: all }),
    };
  };
  for (const answer of [route.success, ...(route.otherAnswers ?? [])])
    add(answer.status, answer.description, contentOf(answer, ref));
  const refusals = problemsOf(route);
  for (const status of new Set(refusals.map((type) => problems[type][0]))) {
    const types = refusals.filter((type) => problems[type][0] === status);
    add(status, types.map((type) => problems[type][1]).join('. '), problemContent(types));
  }
  return responses;
}

function contentOf({ schema, mediaType }: Answer, ref: Ref): Content {
  if (schema) return { [mediaType ?? 'application/json']: { schema: ref(schema, 'output') } };
  if (mediaType) return { [mediaType]: mediaType.startsWith('text/') ? { schema: { type: 'string' } } : {} };
  return {};
}

/** Returns the problems that a route lists, and those that any route of its kind may return. */
function problemsOf(route: Route<never>): ProblemType[] {
  const all: ProblemType[] = [
    ...route.problems,
    ...(route.access === 'none' ? [] : (['unauthenticated', 'forbidden'] as const)),
    ...(route.access === 'none' ? [] : (['unreadable'] as const)),
    ...(route.capability ? (['region'] as const) : []),
    // any such request may have a body, even if the route expects none
    ...(isFenced(route) ? (['stale-lease'] as const) : []),
    ...(route.method === 'GET' ? [] : (['malformed-json', 'too-large', 'unsupported-media-type'] as const)),
    ...(route.limit === 'none' ? [] : (['rate-limited', 'storage-full'] as const)), // reads can fill the disk too, by sorting
    // any URL may be malformed or contain an unknown parameter
    ...(['malformed-request', 'impossible-text', 'validation', 'headers-too-large'] as const),
    ...(['timeout', 'internal', 'unavailable'] as const),
  ];
  return (Object.keys(problems) as ProblemType[]).filter((type) => all.includes(type));
}

function problemContent(types: ProblemType[]): Content {
  const refs = types.map((type) => ({ $ref: `#/components/schemas/${schemaName(type)}` }));
  return { 'application/problem+json': { schema: refs.length === 1 ? refs[0]! : { oneOf: refs } } };
}

const headers = {
  RequestId: {
    description: 'Id of the request in the log: the one you sent if it is valid, otherwise a generated one',
    required: true,
    schema: { type: 'string' },
  },
  Location: { description: 'URL of the new resource', schema: { type: 'string' } },
  Replay: { description: 'The response repeats the outcome of an earlier request with this key', schema: { const: 'true' } },
  RetryAfter: { description: 'Seconds to wait', schema: { type: 'integer', minimum: 0 } },
  Authenticate: { description: 'Accepted authentication schemes', schema: { type: 'string' } },
  RateLimit: { description: 'Remaining quota of each limit (IETF draft)', schema: { type: 'string' } },
  RateLimitPolicy: { description: 'Limits that apply to this request (IETF draft)', schema: { type: 'string' } },
  ContentRange: { description: 'Byte range and total size', schema: { type: 'string' } },
  ETag: { description: 'Version of the resource', schema: { type: 'string' } },
};

function headersOf(route: Route<never>, status: number): Json {
  const success = status === route.success.status;
  const present: Record<string, [keyof typeof headers, boolean]> = {
    'X-Request-Id': ['RequestId', true],
    Location: ['Location', success && status === 201],
    'Idempotent-Replay': ['Replay', success && route.idempotent === true],
    'Retry-After': ['RetryAfter', [429, 503, 507].includes(status)],
    'WWW-Authenticate': ['Authenticate', status === 401],
    RateLimit: ['RateLimit', route.limit !== 'none' && (success || status === 429)],
    'RateLimit-Policy': ['RateLimitPolicy', route.limit !== 'none' && (success || status === 429)],
    ETag: ['ETag', (success && route.problems.includes('precondition-failed')) || (hasEtagReads(route) && status < 400)],
    'Content-Range': ['ContentRange', status === 206 || status === 416],
  };
  const included = Object.entries(present).filter(([, [, condition]]) => condition);
  return Object.fromEntries(included.map(([name, [component]]) => [name, { $ref: `#/components/headers/${component}` }]));
}

/** `not-found` → `NotFoundProblem`. */
const schemaName = (type: ProblemType): string =>
  `${type.replaceAll(/(^|-)(\w)/g, (_, __, letter) => letter.toUpperCase())}Problem`;

function problemSchemas(): Record<string, Json> {
  const text = { type: 'string' };
  const fault = { type: 'object', properties: { pointer: text, parameter: text, detail: text }, required: ['detail'] };
  const Problem = {
    type: 'object',
    description: 'A problem document (RFC 9457)',
    properties: {
      type: { type: 'string', format: 'uri-reference' },
      title: text,
      status: { type: 'integer' },
      detail: text,
      request_id: text,
      errors: {
        type: 'array',
        items: fault,
        description: 'one entry per fault: `pointer` (into the body) or `parameter`, and `detail`',
      },
    },
    required: ['type', 'title', 'status', 'detail', 'request_id'],
  };
  const kinds = (Object.keys(problems) as ProblemType[]).map((type) => {
    const [status, title, advice] = problems[type];
    const properties = { type: { const: problemType(type) }, title: { const: title }, status: { const: status } };
    return [schemaName(type), { description: advice, allOf: [{ $ref: '#/components/schemas/Problem' }], properties }];
  });
  return { Problem, ...Object.fromEntries(kinds) };
}
