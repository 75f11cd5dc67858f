import type { Endpoint, Media, Parameter, ProblemType, Response, Schema } from './document.ts';
import { isSuccess, nameOf } from './document.ts';
import { type Context, fieldsOf, fieldTable, sentence, tableOf, variantsOf } from './fields.ts';
import { code, describeType } from './type_text.ts';

// One operation as Markdown.

/** `problems`: by the name of their component; `common`: those that every operation may return. */
export interface Page extends Omit<Context, 'isRequest'> {
  problems: Map<string, ProblemType>;
  common: Set<string>;
}

export function operationText(endpoint: Endpoint, page: Page): string {
  const { method, path, summary, operationId, description, security } = endpoint;
  const access = security?.length === 0 ? 'No credential is needed.' : (description ?? 'Any valid credential may call it.');
  return [
    `## ${summary}`,
    `\`${method} ${path}\``,
    access,
    ...parameterTables(endpoint, page),
    ...requestText(endpoint, page),
    ...Object.entries(endpoint.responses)
      .filter(([status]) => isSuccess(status))
      .flatMap(([status, response]) => responseText(status, response, page)),
    problemText(endpoint, page),
    `<!-- try ${operationId} -->`,
  ].join('\n\n');
}

function parameterTables({ parameters }: Endpoint, page: Page): string[] {
  const titles = { path: 'Path parameters', query: 'Query parameters', header: 'Headers' } as const;
  return (['path', 'query', 'header'] as const).flatMap((place) => {
    const own = parameters.filter((parameter) => parameter.in === place);
    return own.length === 0 ? [] : [`### ${titles[place]}`, parameterTable(own, page)];
  });
}

function parameterTable(parameters: Parameter[], { resolve, linkOf }: Page): string {
  const rows = parameters.map(({ name, schema, required, description = '' }) => {
    return [code(name), describeType(schema, required ? 'required' : '', resolve, linkOf), sentence(description)];
  });
  return tableOf(['Name', 'Type', 'Description'], rows);
}

function requestText(endpoint: Endpoint, page: Page): string[] {
  const [[mediaType, media] = []] = Object.entries(endpoint.requestBody?.content ?? {});
  if (!mediaType || !media) return [exampleRequest(endpoint, undefined, '')].filter(Boolean);
  const about =
    mediaType === 'application/json'
      ? []
      : [`${sentence(endpoint.requestBody?.description ?? 'Text')} Media type ${code(mediaType)}.`];
  const schema = media.schema && media.schema.type !== 'string' ? media.schema : undefined;
  return [
    '### Request body',
    ...about,
    ...(schema ? bodyText(schema, { ...page, isRequest: true }) : []),
    exampleRequest(endpoint, media, mediaType),
  ].filter(Boolean);
}

/** The fields of a body. The alternatives of a union follow each other. */
export function bodyText(schema: Schema, context: Context): string[] {
  const target = context.resolve(schema);
  const branches = target.oneOf ?? target.anyOf;
  if (!branches) return [fieldTable(fieldsOf(target, context), context)];
  const variants = variantsOf(branches, context);
  if (variants) {
    const { discriminator } = variants;
    const each = variants.branches.filter(({ fields }) => fields.length > 0);
    return [
      fieldTable(variants.common, context),
      ...each.flatMap(({ value, fields }) => [`With ${code(discriminator)} ${code(value)}:`, fieldTable(fields, context)]),
    ];
  }
  return branches.flatMap((branch, i) => {
    const name = nameOf(branch) ?? '';
    const earlier = branches.slice(0, i).map(nameOf);
    const linkOf = (component: string) =>
      context.linkOf(component) ?? (earlier.includes(component) ? 'object as above' : undefined);
    const link = context.linkOf(name);
    const title = `${i === 0 ? 'Either' : 'Or'} ${link ?? caseOf(branch, context)}`;
    return link ? [`${title}.`] : [`${title}:`, ...bodyText(branch, { ...context, linkOf })];
  });
}

/** The cases differ in whether they have a list. */
function caseOf(branch: Schema, { resolve }: Context): string {
  const list = Object.entries(resolve(branch).properties ?? {}).find(([, { type }]) => type === 'array');
  return list ? `several, in ${code(list[0])}` : 'one';
}

function responseText(status: string, { description, headers = {}, content }: Response, page: Page): string[] {
  const names = Object.keys(headers).filter((name) => !COMMON_HEADERS.has(name));
  const context = { ...page, isRequest: false };
  return [
    `### Response ${status}`,
    `${sentence(description)}${names.length > 0 ? ` Headers: ${names.map(code).join(', ')}.` : ''}`,
    ...Object.entries(content ?? {}).flatMap(([mediaType, media]) => contentText(mediaType, media, context)),
  ];
}

/** Almost every response has them; the index of the reference explains them. */
const COMMON_HEADERS = new Set(['X-Request-Id', 'RateLimit', 'RateLimit-Policy', 'Idempotent-Replay']);

function contentText(mediaType: string, { schema, example }: Media, context: Context): string[] {
  const isJson = mediaType === 'application/json';
  const link = schema && context.linkOf(nameOf(schema) ?? '');
  const fields = link ? [`Body: ${link}.`] : schema && isJson ? bodyText(schema, context) : [];
  return [
    ...(isJson ? [] : [`As ${code(mediaType)}.`]),
    ...fields,
    ...(example === undefined ? [] : ['Example:', block(example)]),
  ];
}

export const written = (example: unknown): string => (typeof example === 'string' ? example : JSON.stringify(example, null, 2));

const block = (example: unknown) =>
  `\`\`\`${typeof example === 'string' ? 'text' : 'json'}\n${written(example).trimEnd()}\n\`\`\``;

/** The request as a curl command; empty if the document has no example of a required parameter or body. */
function exampleRequest(
  { method, path, parameters, security, requestBody }: Endpoint,
  media: Media | undefined,
  mediaType: string,
): string {
  if (requestBody && media?.example === undefined) return '';
  const given = parameters.filter(({ example }) => example !== undefined);
  if (parameters.some((parameter) => parameter.in === 'path' && parameter.example === undefined)) return '';
  const target = given
    .filter((parameter) => parameter.in === 'path')
    .reduce((url, { name, example }) => url.replace(`{${name}}`, encodeURIComponent(String(example))), path);
  const query = new URLSearchParams(
    given.filter((one) => one.in === 'query').map(({ name, example }): [string, string] => [name, written(example)]),
  );
  const url = `localhost:3000${target}${query.size > 0 ? `?${query}` : ''}`;
  const headers = given.filter((one) => one.in === 'header').map(({ name, example }) => `${name}: ${example}`);
  const lines = [
    `curl -s${method === 'GET' || (method === 'POST' && media) ? '' : ` -X ${method}`} ${quoted(url)}`,
    ...(security?.length === 0 ? [] : ['-H "Authorization: Bearer $TOKEN"']),
    ...(media ? [`-H 'Content-Type: ${mediaType === '*/*' ? 'application/octet-stream' : mediaType}'`] : []),
    ...headers.map((header) => `-H ${quoted(header)}`),
    ...(media ? [`${mediaType === 'application/json' ? '-d' : '--data-binary'} ${quoted(written(media.example))}`] : []),
  ];
  return `Example:\n\n\`\`\`sh\n${lines.join(' \\\n  ')}\n\`\`\``;
}

const quoted = (text: string) => (/^[\w./:-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

function problemText({ responses }: Endpoint, { problems, common }: Page): string {
  const names = Object.values(responses).flatMap(({ content }) => problemNames(content?.['application/problem+json']?.schema));
  const links = names
    .filter((name) => !common.has(name))
    .map((name) => {
      const { type, status } = problems.get(name)!;
      return `[${type}](../problems.md#${type}) (${status})`;
    });
  return `Problems: ${[...links, 'and those of [every operation](index.md#problems)'].join(', ')}.`;
}

/** The components that a response of a problem may have. */
export const problemNames = (schema: Schema | undefined): string[] =>
  schema ? (schema.oneOf ?? [schema]).map((one) => nameOf(one)!) : [];
