import { type Endpoint, endpointsOf, isSuccess, nameOf, type OpenApi, problemsOf, type Schema } from './document.ts';
import { tableOf } from './fields.ts';
import { bodyText, operationText, type Page, problemNames } from './operation.ts';
import { code } from './type_text.ts';

// The reference as Markdown files, generated from openapi.json: a page for each tag, an index, and the problem types.

const NOTE = '<!-- Generated from openapi.json by `npm run openapi`. -->';

/** Returns the text of each file by its path from the root. */
export function referencePages(document: OpenApi): Map<string, string> {
  const endpoints = endpointsOf(document);
  const tags = document.tags.map(({ name }) => ({
    name,
    file: fileOf(name),
    endpoints: endpoints.filter(({ tags }) => tags[0] === name),
  }));
  const common = commonProblems(endpoints);
  return new Map([
    ['docs/problems.md', problemPage(document)],
    ['docs/reference/index.md', indexPage(document, tags, common)],
    ...tags.map((tag) => [`docs/reference/${tag.file}`, tagPage(document, tag, common)] as const),
  ]);
}

interface Tag {
  name: string;
  file: string;
  endpoints: Endpoint[];
}

const fileOf = (tag: string) => `${tag.toLowerCase().replaceAll(' ', '-')}.md`;

/** The problems that every operation may return. */
function commonProblems(endpoints: Endpoint[]): Set<string> {
  const each = endpoints.map(({ responses }) =>
    Object.values(responses).flatMap(({ content }) => problemNames(content?.['application/problem+json']?.schema)),
  );
  return new Set(each[0]!.filter((name) => each.every((names) => names.includes(name))));
}

function tagPage(document: OpenApi, { name, endpoints }: Tag, common: Set<string>): string {
  const { schemas } = document.components;
  const shared = sharedObjects(endpoints, schemas);
  const page: Page = {
    problems: problemsOf(document),
    common,
    resolve: (schema) =>
      schema.$ref ? { ...schemas[nameOf(schema)!]!, ...(schema.description && { description: schema.description }) } : schema,
    linkOf: (component) => (shared.includes(component) ? `[${component}](#${anchorOf(component)})` : undefined),
  };
  const objects = shared.map((component) =>
    [`## ${objectTitle(component)}`, ...bodyText(schemas[component]!, { ...page, isRequest: false })].join('\n\n'),
  );
  const intro = `This page lists the operations under ${code(name)} with their fields, limits, problems and examples.${guideTo(name)}`;
  return `# ${titleOf(name)}\n\n${NOTE}\n\n${intro}\n\n${[...endpoints.map((endpoint) => operationText(endpoint, page)), ...objects].join('\n\n')}\n`;
}

/** The guides to tags that have none of their own name. */
const guides: Record<string, string> = {
  Authentication: 'auth',
  Users: 'auth',
  'API keys': 'auth',
  Tenant: 'auth',
  'Health and metrics': 'operations',
  Mandates: 'control',
};

function guideTo(tag: string): string {
  const page = guides[tag] ?? tag.toLowerCase();
  return ` [The guide](../${page}.md) explains how to use them.`;
}

/** `Events API`, so that it differs from the title of the guide to events. */
const titleOf = (tag: string) => (tag.startsWith('API') ? tag : `${tag} API`);

const objectTitle = (component: string) => `The ${component} object`;
const anchorOf = (component: string) => objectTitle(component).toLowerCase().replaceAll(' ', '-');

/** Components that several responses of a page contain: each gets a section, so that its fields are listed once. */
function sharedObjects(endpoints: Endpoint[], schemas: Record<string, Schema>): string[] {
  const counts = new Map<string, number>();
  for (const { responses } of endpoints)
    for (const [status, { content = {} }] of Object.entries(responses))
      if (isSuccess(status)) for (const { schema } of Object.values(content)) count(schema);
  return [...counts].filter(([, uses]) => uses > 1).map(([name]) => name);

  function count(node: unknown): void {
    if (typeof node !== 'object' || node === null) return;
    const name = nameOf(node as Schema);
    if (name) {
      counts.set(name, (counts.get(name) ?? 0) + 1);
      if (counts.get(name) === 1) count(schemas[name]);
    } else for (const child of Object.values(node)) count(child);
  }
}

function indexPage(document: OpenApi, tags: Tag[], common: Set<string>): string {
  const problems = problemsOf(document);
  const links = [...common].map((name) => {
    const { type, status, title } = problems.get(name)!;
    return `- [${type}](../problems.md#${type}) (${status}): ${title}.`;
  });
  const groups = tags.map(({ name, file, endpoints }) => {
    const rows = endpoints.map(({ method, path, summary }) => [
      `[${summary}](${file}#${slug(summary)})`,
      code(`${method} ${path}`),
    ]);
    return `### [${name}](${file})\n\n${tableOf(['Operation', 'Request'], rows)}`;
  });
  return `# API reference

${NOTE}

Every operation of the HTTP API, with its fields, limits, problems and examples. The same is at \`/openapi.json\` as OpenAPI 3.1.

${document.info.description}

Every response has an \`X-Request-Id\`, which also is in the log. Responses that count against a rate limit have \`RateLimit\` and \`RateLimit-Policy\`.
A response to a repeated \`Idempotency-Key\` has \`Idempotent-Replay: true\`.

## Operations

${groups.join('\n\n')}

## Problems

An error is a [problem document](../problems.md). Every operation may return:

${links.join('\n')}
`;
}

/** The anchor that GitHub and the site give to a heading of letters, digits and punctuation. */
const slug = (heading: string) =>
  heading
    .toLowerCase()
    .replaceAll(/[^\w\s-]/g, '')
    .replaceAll(' ', '-');

function problemPage(document: OpenApi): string {
  const sections = [...problemsOf(document).values()].map(
    ({ type, status, title, advice }) => `## ${type}\n\n**${status}** ${title}.\n\n${advice}`,
  );
  return `# Problems

${NOTE}

An error response is a problem document (RFC 9457) of media type \`application/problem+json\`. Its \`type\` is the address of a section of this page.

\`title\` is fixed for a type, \`detail\` describes this occurrence, and \`request_id\` identifies the request in the log. A problem
with the body or a parameter, such as \`validation\`, \`malformed-json\` or \`impossible-text\`, also has \`errors\`, with one entry per fault: \`pointer\` (into the body) or \`parameter\`,
and \`detail\`.

${sections.join('\n\n')}
`;
}
