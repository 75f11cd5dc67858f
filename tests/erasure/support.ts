import { setTimeout as sleep } from 'node:timers/promises';
import type { Tenant } from '../../src/db/tenant.ts';
import { serviceEventOf } from '../../src/db/unit.ts';
import { type MemoryEffect, sha256Hex, withMemory } from '../../src/memories/effect.ts';
import { withPassages } from '../../src/passages/index.ts';
import type { Client } from '../support/client.ts';

/** Waits until the job has ended, and returns it. */
export async function waitForJob(client: Client, job_id: string, ms = 60_000) {
  for (const end = Date.now() + ms; Date.now() < end; await sleep(50)) {
    const { body } = await client.request('GET', `/v1/jobs/${job_id}`);
    if (body.state === 'done' || body.state === 'failed') return body;
  }
  throw new Error('the job did not end in time');
}

export async function erase(client: Client, body: Record<string, unknown>) {
  const answer = await client.request('POST', '/v1/erasures', { body });
  if (answer.status !== 202) throw new Error(`${answer.status} ${JSON.stringify(answer.body)}`);
  return waitForJob(client, answer.body.job_id);
}

/** Returns all rows of the tenant in all tables as text. */
export async function dumpOf(tenant: Tenant): Promise<string> {
  return tenant.read(async (db) => {
    const tables = await db.rows<{ name: string }>(
      `select c.table_name as name from information_schema.columns c join information_schema.tables t using (table_schema, table_name)
       where c.table_schema = 'public' and c.column_name = 'tenant_id' and t.table_type = 'BASE TABLE'`,
    );
    const parts: string[] = [];
    for (const { name } of tables) {
      const rows = await db.rows<{ row: string }>(`select row_to_json(t)::text as row from ${name} t`);
      parts.push(`== ${name}`, ...rows.map(({ row }) => row));
    }
    return parts.join('\n');
  });
}

/** Creates a memory as POST /v1/memories does, of a kind that no event creates. */
export async function makeMemory(
  tenant: Tenant,
  {
    kind = 'fact',
    text,
    user_id,
    refs = [] as string[],
    ...more
  }: { kind?: string; text: string; user_id: string; refs?: string[]; session_id?: string },
) {
  const event_id = `evt_${sha256Hex(text + user_id).slice(0, 26)}`;
  const memory_id = `mem_${event_id.slice(4)}`;
  const effect: MemoryEffect = {
    memory_id,
    kind,
    scope: 'global',
    text_hash: sha256Hex(text),
    status: 'active',
    importance: 0.5,
    pinned: false,
  };
  const row = serviceEventOf({
    event_id,
    session_id: memory_id,
    channel: 'team',
    user_id,
    actor_type: 'agent',
    actor_id: 'recorder',
    kind: 'memory.created',
    content: { memory_id, kind, text, body: {}, scope: 'global', importance: 0.5, pinned: false },
    refs,
    ...more,
  });
  const event = withMemory(withPassages(row, [{ text, header: 'recorder', token_count: 3, traits: 0 }]), effect);
  await tenant.commit({ key: null, body: null, bytes: 100, events: [event] });
  return { event_id, memory_id };
}

export const memoryRow = (tenant: Tenant, memory_id: string) =>
  tenant.read((db) =>
    db.row<Record<string, any>>(
      `select m.*, e.content, e.refs, (select count(*) from chunks c where c.tenant_id = m.tenant_id and c.seq = m.content_seq and c.until_seq is null) as passages
       from memories m join events e on e.tenant_id = m.tenant_id and e.seq = m.content_seq where m.tenant_id = $1 and m.memory_id = $2`,
      [tenant.id, memory_id],
    ),
  );
