import type { IncomingMessage } from 'node:http';
import { NOT_UTF8, textFault } from './json.ts';
import { Problem } from './problem.ts';

// Parses the path of a URL by a route's template, and its query.

export function urlOf(req: IncomingMessage): { pathname: string; query: Record<string, string | string[]> } {
  // Express strips its mount path from `url`. The service is mounted at the root, so the path is the same with and without Express.
  // The request target may include the host (RFC 9112, section 3.2.2).
  const url = req.url?.startsWith('/') ? req.url : (req.url ?? '/').replace(/^https?:\/\/[^/?]*/i, '');
  const mark = url.indexOf('?');
  if (mark < 0) return { pathname: url, query: {} };
  const query: Record<string, string | string[]> = Object.create(null);
  for (const [name, value] of new URLSearchParams(url.slice(mark + 1))) {
    const fault = textFault(name) ?? textFault(value) ?? (/\ufffd/.test(name + value) ? NOT_UTF8 : undefined);
    if (fault)
      throw new Problem('impossible-text', `The parameter ${JSON.stringify(name.slice(0, 50))} ${fault}.`, {
        errors: [{ parameter: name, detail: fault }],
      });
    const before = query[name];
    query[name] = before === undefined ? value : [before, value].flat();
  }
  return { pathname: url.slice(0, mark), query };
}

/** Returns the path parameters, or undefined if the path does not match the template. */
export function matchPath(template: string, pathname: string): Record<string, string> | undefined {
  const parts = template.split('/');
  const segments = hasOpenEnd(template) ? joined(parts, pathname.split('/')) : pathname.split('/');
  if (parts.length !== segments.length) return undefined;
  const params: Record<string, string> = {};
  for (let i = 0; i < parts.length; i += 1) {
    if (parts[i]!.startsWith('{') && segments[i] !== '') params[parts[i]!.replace(/[{+}]/g, '')] = decodeSegment(segments[i]!);
    else if (parts[i] !== segments[i]) return undefined;
  }
  return params;
}

/** Joins the segments that the parameter `{+name}` of the template takes. */
function joined(parts: string[], segments: string[]): string[] {
  const at = parts.findIndex((part) => part.startsWith('{+'));
  const count = Math.max(1, segments.length - parts.length + 1);
  return [...segments.slice(0, at), segments.slice(at, at + count).join('/'), ...segments.slice(at + count)];
}

const hasOpenEnd = (template: string): boolean => template.includes('{+');
const firstOf = (path: string): string | undefined => /^\/v1\/([^/{]+)/.exec(path)?.[1];

/**
 * Returns a function that tests whether a route may serve a path. A route with a parameter `{+name}` leaves to the others all paths under /v1
 * that begin like one of theirs, so that it never answers in their place.
 */
export function precedenceOf(templates: string[]): (template: string, pathname: string) => boolean {
  const taken = new Set(templates.map(firstOf));
  return (template, pathname) => !hasOpenEnd(template) || !taken.has(firstOf(pathname));
}

function decodeSegment(segment: string): string {
  let text: string;
  try {
    text = decodeURIComponent(segment);
  } catch (cause) {
    throw new Problem('malformed-request', 'The path is not valid UTF-8.', { cause });
  }
  const fault = textFault(text);
  if (fault) throw new Problem('impossible-text', `The path ${fault}.`);
  return text;
}
