import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Answer, Client } from '../support/client.ts';

export type Line = Record<string, any>;

export async function exportTenant(client: Client): Promise<string> {
  const { status, body } = await client.request<string>('GET', '/v1/export');
  if (status !== 200) throw new Error(`${status} ${JSON.stringify(body)}`);
  return body;
}

export const linesOf = (file: string): Line[] =>
  file
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));

export const importFile = (client: Client, file: string): Promise<Answer<Record<string, any>>> =>
  client.request('POST', '/v1/import', { body: file, headers: { 'content-type': 'application/x-ndjson' } });

export async function jobDone(client: Client, job_id: string): Promise<Record<string, any>> {
  for (;;) {
    const { body } = await client.request('GET', `/v1/jobs/${job_id}`);
    if (body.finished_at) return body;
    await sleep(50);
  }
}

/** Returns the lines as a file with a valid end line. */
export function fileOf(lines: Line[]): string {
  const body = lines.filter(({ type }) => type !== 'end');
  const text = body.map((line) => `${JSON.stringify(line)}\n`).join('');
  const counts: Record<string, number> = {};
  for (const { type } of body) if (type !== 'header' && type !== 'progress') counts[type] = (counts[type] ?? 0) + 1;
  return `${text}${JSON.stringify({ type: 'end', counts, sha256: createHash('sha256').update(text).digest('hex') })}\n`;
}

/** Returns the failed checks with their findings. */
export async function failedChecks(client: Client): Promise<unknown[]> {
  const { status, body } = await client.request('GET', '/v1/consistency');
  const { checks } = status === 202 ? (await jobDone(client, body.job_id)).result : body;
  return checks.filter(({ ok }: { ok: boolean }) => !ok);
}

/** Returns the lines without what differs between exports of the same log: tenant, time and hash. */
export const withoutHeader = (file: string) =>
  linesOf(file).map((line) =>
    line.type === 'header' || line.type === 'end' ? { ...line, tenant_id: '', created_at: '', sha256: '' } : line,
  );
