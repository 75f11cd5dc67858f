import type { IncomingMessage } from 'node:http';
import { Problem } from './problem.ts';

// Versions as ETags. A weak tag never matches in If-Match (RFC 9110, section 13.1.1).

export const etagOf = ({ version }: { version: number }): string => `"${version}"`;

/** The tags of If-Match; undefined if the header is absent or `*`, which match any version. */
export type IfMatch = string[] | undefined;

export function ifMatchOf({ headers }: IncomingMessage): IfMatch {
  const header = headers['if-match'];
  return header === undefined || header.trim() === '*' ? undefined : tagsOf(header);
}

const TAGS = /^\s*(?:\*|(?:W\/)?"[^"]*"(?:\s*,\s*(?:W\/)?"[^"]*")*)\s*$/;

/** Rejects a malformed If-Match. It matches no version, so a client that omits the quotes would get 412 on every retry. */
export function assertValidIfMatch(header: string | undefined): void {
  if (header !== undefined && !TAGS.test(header))
    throw new Problem('malformed-request', 'If-Match must be an ETag in double quotes, as in a response: If-Match: "3".');
}

const tagsOf = (header: string): string[] => header.split(',').map((tag) => tag.trim());

const matchesVersion = (tags: IfMatch, version: number): boolean => tags === undefined || tags.includes(etagOf({ version }));

/** Throws `precondition-failed` if the version does not match. `what` is the noun in the problem's detail, such as `memory`. */
export function assertVersion(tags: IfMatch, { version }: { version: number }, what: string): void {
  if (!matchesVersion(tags, version))
    throw new Problem('precondition-failed', `The ${what} has version ${version}, which does not match If-Match.`, {
      headers: { ETag: etagOf({ version }) },
    });
}

const MATCHES_NOTHING = -1;

/** Returns the version that the row must still have once it is locked, given the version that was read; null if any version will do. */
export function expectedVersion(tags: IfMatch, { version }: { version: number }): number | null {
  if (tags === undefined) return null;
  return matchesVersion(tags, version) ? version : MATCHES_NOTHING;
}

/** Returns true for `If-None-Match: *`: the write must create the resource. */
export const isCreateOnly = ({ headers }: IncomingMessage): boolean => headers['if-none-match']?.trim() === '*';

/** Returns true if If-None-Match contains this version, so that the answer is 304. */
export function isNotModified({ headers }: IncomingMessage, resource: { version: number }): boolean {
  const header = headers['if-none-match'];
  return header !== undefined && tagsOf(header).some((tag) => tag === '*' || tag.replace(/^W\//, '') === etagOf(resource));
}
