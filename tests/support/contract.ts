import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import type { OpenApi, Operation } from '../../src/http/openapi.ts';
import { matchPath } from '../../src/http/url.ts';

// Checks responses against the committed openapi.json.

export const document = JSON.parse(readFileSync(join(import.meta.dirname, '../../openapi.json'), 'utf8')) as OpenApi;

const ajv = new Ajv2020({ strict: false, validateFormats: true });
addFormats.default(ajv);
ajv.addSchema(document, 'openapi');

const validators = new Map<string, ValidateFunction>();

function validatorAt(pointer: string[]): ValidateFunction {
  const ref = `openapi#/${pointer.map((part) => encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1'))).join('/')}`;
  const known = validators.get(ref) ?? ajv.compile({ $ref: ref });
  validators.set(ref, known);
  return known;
}

/** Returns the documented path and operation of a request. */
export function operationAt(method: string, pathname: string): { path: string; operation: Operation } | undefined {
  const paths = Object.keys(document.paths).filter((path) => matches(path, pathname));
  // A literal path takes precedence over one with a parameter.
  const path = paths.find((candidate) => !candidate.includes('{')) ?? paths[0];
  const operation = path === undefined ? undefined : document.paths[path]![method.toLowerCase()];
  return operation && { path: path!, operation };
}

function matches(template: string, pathname: string): boolean {
  try {
    return matchPath(template, pathname) !== undefined;
  } catch {
    return true;
  }
}

/** Throws if the document does not allow this response. */
export function assertConforms(method: string, url: string, status: number, headers: Headers, body: unknown): void {
  const fail: (why: string) => never = (why) => {
    throw new Error(`${method} ${url.slice(0, 200)} → ${status}: ${why}\n${JSON.stringify(body)?.slice(0, 1000)}`);
  };
  const mediaType = (headers.get('content-type') ?? '').split(';')[0]!;
  if (!headers.get('x-request-id')) fail('no X-Request-Id');
  if (status === 401 && !headers.get('www-authenticate')) fail('no WWW-Authenticate');
  if ((status === 429 || status === 503) && !headers.get('retry-after')) fail('no Retry-After');
  const found = operationAt(method, url.split('?')[0]!);
  if (found) assertDocumented(method, found, status, mediaType, body, fail);
  // where no route is, there is a problem document all the same
  else if (status >= 400) assertProblem(mediaType, body, fail);
}

type Fail = (why: string) => never;

function assertDocumented(
  method: string,
  { path, operation }: { path: string; operation: Operation },
  status: number,
  mediaType: string,
  body: unknown,
  fail: Fail,
): void {
  const response = operation.responses[status] ?? fail('the status is not documented');
  const content = Object.keys(response.content ?? {});
  if (content.length === 0 && body !== '' && body !== undefined) fail('a body where none is documented');
  if (content.length === 0) return;
  const media =
    [mediaType, '*/*'].find((type) => content.includes(type)) ?? fail(`the media type "${mediaType}" is not documented`);
  if (!/[/+]json/.test(media)) return;
  const validate = validatorAt(['paths', path, method.toLowerCase(), 'responses', String(status), 'content', media, 'schema']);
  if (!validate(body)) fail(ajv.errorsText(validate.errors));
}

function assertProblem(mediaType: string, body: unknown, fail: Fail): void {
  if (mediaType !== 'application/problem+json') fail('no problem document');
  const validate = validatorAt(['components', 'schemas', 'Problem']);
  if (!validate(body)) fail(ajv.errorsText(validate.errors));
}
