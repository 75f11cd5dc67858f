import type { IncomingMessage } from 'node:http';
import { textFault } from './json.ts';
import { Problem } from './problem.ts';

// What a URL says: its path by a route's template, and its query.

export function urlOf(req: IncomingMessage): { pathname: string; query: Record<string, string | string[]> } {
  // Express strips the path it is mounted at from `url`; ours is mounted at the root, so both doors see the same.
  // A client may name the host too (RFC 9112, 3.2.2).
  const url = req.url?.startsWith('/') ? req.url : (req.url ?? '/').replace(/^https?:\/\/[^/?]*/i, '');
  const mark = url.indexOf('?');
  if (mark < 0) return { pathname: url, query: {} };
  const query: Record<string, string | string[]> = Object.create(null);
  for (const [name, value] of new URLSearchParams(url.slice(mark + 1))) {
    const fault = textFault(name) ?? textFault(value) ?? (/\ufffd/.test(name + value) ? 'bytes that are not UTF-8' : undefined);
    if (fault)
      throw new Problem('impossible-text', `The parameter ${JSON.stringify(name.slice(0, 50))} holds ${fault}.`, {
        errors: [{ parameter: name, detail: fault }],
      });
    const before = query[name];
    query[name] = before === undefined ? value : [before, value].flat();
  }
  return { pathname: url.slice(0, mark), query };
}

/** The parameters of a path, or undefined where it is not of this template. */
export function matchPath(template: string, pathname: string): Record<string, string> | undefined {
  const wanted = template.split('/');
  const given = pathname.split('/');
  if (wanted.length !== given.length) return undefined;
  const params: Record<string, string> = {};
  for (let i = 0; i < wanted.length; i += 1) {
    if (wanted[i]!.startsWith('{') && given[i] !== '') params[wanted[i]!.slice(1, -1)] = decodeSegment(given[i]!);
    else if (wanted[i] !== given[i]) return undefined;
  }
  return params;
}

function decodeSegment(segment: string): string {
  let text: string;
  try {
    text = decodeURIComponent(segment);
  } catch (cause) {
    throw new Problem('malformed-request', 'The path is not valid UTF-8.', { cause });
  }
  const fault = textFault(text);
  if (fault) throw new Problem('impossible-text', `The path holds ${fault}.`);
  return text;
}
