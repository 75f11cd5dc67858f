import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { loadConfig } from '../src/config.ts';
import { openapi } from '../src/http/openapi.ts';
import { problems } from '../src/http/problem.ts';
import type { Route } from '../src/http/route.ts';
import { describeService } from '../src/wiring.ts';
import { document } from './support/contract.ts';
import { startTestDaemon, type TestDaemon } from './support/daemon.ts';

const config = loadConfig({ JWT_SECRET: 'x'.repeat(32) });
const service = describeService(config);
const routes: Route<never>[] = service.routes;
const nameOf = (route: Route<never>) => `${route.method} ${route.path}`;

test('the committed openapi.json matches the routes', () => {
  // `npm run openapi` updates it
  expect(document).toEqual(JSON.parse(JSON.stringify(service.document)));
});

test('it is a valid OpenAPI 3.1 document', () => {
  const file = '../node_modules/@seriousme/openapi-schema-validator/schemas/v3.1/schema.json';
  const ajv = new Ajv2020({ strict: false });
  addFormats.default(ajv);
  ajv.addFormat('media-range', true);
  const validate = ajv.compile(JSON.parse(readFileSync(join(import.meta.dirname, file), 'utf8')));
  validate(document);
  expect(validate.errors ?? []).toEqual([]);
});

test('every $ref resolves', () => {
  const at = (ref: string) =>
    ref
      .slice(2)
      .split('/')
      .reduce<unknown>((node, part) => (node as Record<string, unknown> | undefined)?.[part], document);
  const dangling = [...JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g)].map(([, ref]) => ref!).filter((ref) => !at(ref));
  expect(dangling).toEqual([]);
});

test('every route is in the document and every documented operation is a route', () => {
  const documented = Object.entries(document.paths).flatMap(([path, operations]) =>
    Object.keys(operations).map((method) => `${method.toUpperCase()} ${path}`),
  );
  expect(documented.sort()).toEqual(routes.map(nameOf).sort());
});

test('every tag has a description', () => {
  expect(document.tags.filter(({ description }) => description === undefined)).toEqual([]);
});

test('operation ids are unique', () => {
  const ids = routes.map((route) => route.operation);
  expect(ids.filter((id, i) => ids.indexOf(id) !== i)).toEqual([]);
});

describe.each(routes.map((route) => [nameOf(route), route] as const))('%s', (_, route) => {
  test('has an operation id, a summary and a tag', () => {
    expect(route.operation).toMatch(/^[a-z][A-Za-z]+$/);
    expect(route.summary).toMatch(/^[A-Z].{5,120}[^.]$/);
    expect(route.summary.split(' ').length).toBeLessThanOrEqual(10);
    expect(route.description ?? '').toMatch(/^(|[A-Z].*\.)$/);
    expect(route.tag).toMatch(/^[A-Z][A-Za-z ]+$/);
  });

  test('documents its responses', () => {
    const { status, description, schema, mediaType } = route.success;
    expect(description.length).toBeGreaterThan(0);
    expect(schema !== undefined || mediaType !== undefined).toBe(status !== 204);
    for (const type of route.problems) expect(problems).toHaveProperty(type);
  });

  test('documents every parameter of its path', () => {
    const inPath = [...route.path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
    const parameters = document.paths[route.path]![route.method.toLowerCase()]!.parameters as { name: string; in: string }[];
    expect(parameters.filter((parameter) => parameter.in === 'path').map(({ name }) => name)).toEqual(inPath);
  });

  test('accepts an Idempotency-Key if it writes under /v1', () => {
    // Exempt are POST requests that only read, the deletion of the tenant, after which no credential is valid, and the import, whose streamed
    // body cannot be compared and which needs an empty tenant.
    const exempt = [
      'POST /v1/search',
      'POST /v1/context',
      'POST /v1/retention/preview',
      'POST /v1/events/{event_id}/reveal',
      'DELETE /v1/tenant',
      'POST /v1/import',
      'POST /v1/state/query',
    ].includes(nameOf(route));
    expect(route.idempotent === true).toBe(route.path.startsWith('/v1/') && route.method !== 'GET' && !exempt);
  });
});

test('the document has no pattern of more than 120 characters', () => {
  const patterns = [...JSON.stringify(document).matchAll(/"pattern":"((?:[^"\\]|\\.)*)"/g)].map(([, pattern]) => pattern!);
  expect(patterns.filter((pattern) => pattern.length > 120)).toEqual([]);
});

test('the document does not depend on the order of the routes', () => {
  const paths = (list: Route<never>[]) => openapi(list, '1').paths;
  expect(paths([...routes].reverse())).toEqual(paths(routes));
});

describe('served', () => {
  let daemon: TestDaemon;
  beforeAll(async () => {
    daemon = await startTestDaemon();
  });
  afterAll(() => daemon.stop());

  test('/openapi.json is the document', async () => {
    const response = await fetch(`${daemon.url}/openapi.json`);
    expect(response.headers.get('content-type')).toMatch(/^application\/json/);
    expect(await response.json()).toEqual(document);
  });
});
