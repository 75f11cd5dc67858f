import { readFileSync } from 'node:fs';
import { join } from 'node:path';

// Every read route that returns recorded data accepts `user_id`.

interface Operation {
  description?: string;
  parameters: { name?: string }[];
  requestBody?: { content: { 'application/json': { schema: { $ref: string } } } };
}
const document = JSON.parse(readFileSync(join(import.meta.dirname, '..', '..', 'openapi.json'), 'utf8')) as {
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, { properties: Record<string, unknown> }> };
};

/** Reads that return no recorded data. */
const others = [
  ...['get /auth/api-keys', 'get /v1/tenant', 'get /v1/usage', 'get /v1/jobs', 'get /v1/jobs/{job_id}'],
  ...['get /v1/capabilities', 'get /v1/leases', 'get /v1/snapshots', 'get /v1/mandates', 'get /v1/actions'],
];

const reads = Object.entries(document.paths).flatMap(([path, operations]) =>
  Object.entries(operations)
    .filter(([, { description = '' }]) => description.includes('the scope `read`'))
    .map(([method, operation]) => [`${method} ${path}`, operation] as const),
);

function fieldsOf({ parameters, requestBody }: Operation): string[] {
  const name = requestBody?.content['application/json'].schema.$ref.split('/').at(-1);
  const body = name === undefined ? [] : Object.keys(document.components.schemas[name]!.properties);
  return [...body, ...parameters.map((parameter) => parameter.name ?? '')];
}

test.each(reads.filter(([name]) => !others.includes(name)))('%s accepts user_id', (_, operation) => {
  expect(fieldsOf(operation)).toContain('user_id');
});

test('every exception is a read route', () => {
  expect(reads.map(([name]) => name)).toEqual(expect.arrayContaining(others));
});
