import type { IncomingMessage } from 'node:http';
import { Problem } from './problem.ts';

// Versions as ETags. Weak tags never match in If-Match (RFC 9110, 13.1.1).

export const etagOf = ({ version }: { version: number }): string => `"${version}"`;

/** The tags of If-Match; undefined where any version is meant. */
export type IfMatch = string[] | undefined;

export function ifMatchOf({ headers }: IncomingMessage): IfMatch {
  const header = headers['if-match'];
  return header === undefined || header.trim() === '*' ? undefined : tagsOf(header);
}

const TAGS = /^\s*(?:\*|(?:W\/)?"[^"]*"(?:\s*,\s*(?:W\/)?"[^"]*")*)\s*$/;

/** What is no ETag fits no version: a client that left out the quotes would read 412 again and again. */
export function refuseNoTag(header: string | undefined): void {
  if (header !== undefined && !TAGS.test(header))
    throw new Problem('malformed-request', 'If-Match takes an ETag as it was answered, in double quotes: If-Match: "3".');
}

const tagsOf = (header: string): string[] => header.split(',').map((tag) => tag.trim());

const isMeant = (tags: IfMatch, version: number): boolean => tags === undefined || tags.includes(etagOf({ version }));

/** `what` is named in the problem: 'memory'. */
export function assertVersion(tags: IfMatch, { version }: { version: number }, what: string): void {
  if (!isMeant(tags, version))
    throw new Problem('precondition-failed', `The ${what} has version ${version}.`, { headers: { ETag: etagOf({ version }) } });
}

const NO_VERSION = -1;

/** The version that must still be current once the row is locked, given the version that was read; null: any version. */
export function versionMeant(tags: IfMatch, { version }: { version: number }): number | null {
  if (tags === undefined) return null;
  return isMeant(tags, version) ? version : NO_VERSION;
}

/** `If-None-Match: *`: only where there is none yet. */
export const wantsNew = ({ headers }: IncomingMessage): boolean => headers['if-none-match']?.trim() === '*';

/** Whether the client has this version already. */
export function isKnown({ headers }: IncomingMessage, of: { version: number }): boolean {
  const known = headers['if-none-match'];
  return known !== undefined && tagsOf(known).some((tag) => tag === '*' || tag.replace(/^W\//, '') === etagOf(of));
}
