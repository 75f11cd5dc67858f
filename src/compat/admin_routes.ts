import type { IncomingMessage } from 'node:http';
import type { z } from 'zod';
import { type Caller, route } from '../auth/index.ts';
import type { Db } from '../db/query.ts';
import type { Tenant } from '../db/tenant.ts';
import type { Parts } from '../feature.ts';
import { readLogBounds } from '../follow/index.ts';
import type { Use } from '../http/capability.ts';
import { Problem } from '../http/problem.ts';
import { newId } from '../id.ts';
import { acceptedReply, startAndWait, startedJob } from '../jobs/index.ts';
import { createSnapshot, dumpState, listSnapshots, snapshotBody } from '../snapshots/index.ts';
import { momentOf } from '../state/index.ts';
import { createdSnapshot, type explainedFilter, explainedQuery, manifest, plan, trim, trimmed } from './admin_schemas.ts';
import { jsonLines, sendList } from './lists.ts';
import { tagged } from './needs.ts';
import { type AgentObject, agentObjectOf } from './objects.ts';

// The paths of AgentState for operators. They concern the whole log of the tenant, not only its state.

interface AdminNeeds {
  identify(req: IncomingMessage): Promise<Caller>;
  jobs: Parts['jobs'];
  /** Observes how long a query took to plan, in µs. */
  observePlan(us: number): void;
}

const shared = { ...tagged, access: 'admin', listener: 'admin' } as const;
/** A tenant has at most 100. */
const MAX_SNAPSHOTS = 100;
const ofSnapshots = (): Use[] => [{ op: 'ADMIN', namespace: null }];

export const adminRoutes = ({ identify, jobs, observePlan }: AdminNeeds) => [
  route({
    ...shared,
    identify,
    method: 'POST',
    path: '/admin/snapshot',
    operation: 'createAgentStateSnapshot',
    summary: 'Create a snapshot',
    audit: 'snapshot.created',
    capability: ofSnapshots,
    success: { status: 200, description: 'The snapshot', schema: createdSnapshot },
    problems: ['forbidden', 'conflict'],
    handle: async ({ caller: { tenant } }) => {
      const body = snapshotBody.parse({ name: newId('obj').replace('obj_', 'snap-') });
      const { name, seq } = await tenant.write((db) => createSnapshot(db, tenant.id, body, null));
      return { body: { snapshot_id: name, commit_seq: seq, last_seq: seq }, audit: { name, seq } };
    },
  }),
  route({
    ...shared,
    identify,
    method: 'GET',
    path: '/admin/manifest',
    operation: 'readAgentStateManifest',
    summary: 'Get the positions of the log and of the newest snapshot',
    capability: ofSnapshots,
    success: { status: 200, description: 'The positions', schema: manifest },
    problems: ['forbidden'],
    handle: async ({ caller: { tenant } }) => ({ body: await tenant.read(async (db) => readManifest(db, tenant.id)) }),
  }),
  trimRoute(identify, jobs),
  route({
    ...shared,
    identify,
    method: 'GET',
    path: '/admin/dump',
    operation: 'dumpAgentStateObjects',
    summary: 'Dump all objects as newline-delimited JSON',
    description: 'Includes the private objects of all users. `GET /v1/export` has no time limit.',
    audit: 'tenant.exported',
    capability: () => [{ op: 'ADMIN', namespace: undefined }],
    success: { status: 200, description: 'One line per object', mediaType: 'application/x-ndjson' },
    problems: ['forbidden'],
    handle: ({ caller: { tenant, principal }, res, signal }) => {
      if (principal.channels) throw new Problem('forbidden', 'A credential that is limited to channels cannot dump all objects.');
      return sendList(res, signal, jsonLines, dump(tenant));
    },
  }),
  route({
    ...shared,
    identify,
    method: 'POST',
    path: '/admin/explain-query',
    operation: 'explainAgentStateQuery',
    summary: 'Explain which conditions of a query use an index',
    audit: false,
    capability: ({ body: { ns } }) => [{ op: 'ADMIN', namespace: ns }],
    body: explainedQuery,
    unredactable: ['ns', 'filter'],
    success: { status: 200, description: 'The plan', schema: plan },
    problems: ['malformed-json', 'impossible-text', 'validation', 'forbidden'],
    handle: async ({ body }) => {
      const began = performance.now();
      const planned = planOf(body.filter ?? {});
      observePlan((performance.now() - began) * 1000);
      return { body: planned };
    },
  }),
];

/** The result of a retention run, as far as it is shown. */
interface Trimmed {
  oldest_seq: number;
  held_by?: object;
}

const trimRoute = (identify: AdminNeeds['identify'], jobs: AdminNeeds['jobs']) =>
  route({
    ...shared,
    identify,
    method: 'POST',
    path: '/admin/trim-wal',
    operation: 'trimAgentStateLog',
    summary: 'Remove the log up to a snapshot',
    description: 'Also removes events that are not state. A trim removes nothing that a snapshot, a memory or a capsule needs.',
    audit: 'retention.begun',
    query: trim,
    success: { status: 200, description: 'The log was trimmed', schema: trimmed },
    otherAnswers: [{ status: 202, description: 'The trim takes longer, and continues as a job', schema: startedJob }],
    problems: ['validation', 'forbidden', 'not-found', 'gone'],
    handle: async ({ caller: { tenant, principal }, query: { snapshot_id } }) => {
      const [{ seq }, before] = await tenant.read(async (db) => [
        await momentOf(db, tenant.id, { name: snapshot_id }),
        await readLogBounds(db, tenant.id),
      ]);
      const input = { rules: [], trim: { before_seq: seq + 1 } };
      const { job_id, result } = await startAndWait<Trimmed>(jobs, tenant, 'retention', input, principal.id);
      if (!result) return { status: 202, ...acceptedReply(job_id, false) };
      const [from, upto] = [before?.oldest_seq ?? 1, result.oldest_seq - 1];
      return { body: { deleted: upto >= from ? [`${from}-${upto}`] : [], ...result, job_id } };
    },
  });

async function readManifest(db: Db, tenant_id: string): Promise<z.output<typeof manifest>> {
  const bounds = await readLogBounds(db, tenant_id);
  const snapshots = await listSnapshots(db, tenant_id, '', MAX_SNAPSHOTS);
  const newest = snapshots.toSorted((a, b) => b.created_at.localeCompare(a.created_at))[0];
  return {
    last_seq: bounds?.last_seq ?? 0,
    segments: bounds ? [{ name: 'log', min_seq: bounds.oldest_seq, max_seq: bounds.last_seq }] : [],
    current_snapshot: newest?.name ?? null,
    snapshot_bookmark: newest?.seq ?? null,
  };
}

/** Yields all objects of the tenant, each as a page. */
async function* dump(tenant: Tenant): AsyncGenerator<AgentObject[]> {
  for await (const object of dumpState(tenant, { at: undefined, namespace: undefined })) yield [agentObjectOf(object)];
}

/** Returns the conditions of a query with the index that finds their objects. Conditions on bodies have none. */
function planOf({ tags = {}, jsonpath }: z.output<typeof explainedFilter>): z.output<typeof plan> {
  const paths = typeof jsonpath === 'string' ? [jsonpath] : Object.keys(jsonpath?.equals ?? {});
  const indexed = Object.keys(tags).map((name) => ({ op: 'filter', on: `tags.${name}`, index: 'tags' }));
  const scanned = paths.map((path) => ({ op: 'filter', on: `jsonpath:${path}`, index: null }));
  return {
    plan: [...indexed, ...scanned],
    indexes_hit: indexed.length > 0 ? ['tags'] : [],
    warnings: indexed.length > 0 ? [] : ['Without tags, the query examines every object of the namespace.'],
  };
}
