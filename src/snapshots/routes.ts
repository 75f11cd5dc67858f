import { route } from '../auth/index.ts';
import { recallKey, rememberKey } from '../db/idempotency.ts';
import type { Use } from '../http/capability.ts';
import { replayHeaders } from '../http/outcome.ts';
import { pageById } from '../http/page.ts';
import { Problem } from '../http/problem.ts';
import { snapshot, snapshotBody, snapshotList, snapshotPage, snapshotParams } from './schemas.ts';
import { createSnapshot, deleteSnapshot, listSnapshots } from './sql.ts';

const tagged = {
  tag: 'Snapshots',
  limit: 'v1',
  capability: (): Use[] => [{ op: 'ADMIN', namespace: null }],
} as const;

export const snapshotRoutes = [
  route({
    ...tagged,
    method: 'POST',
    path: '/v1/snapshots',
    operation: 'createSnapshot',
    audit: 'snapshot.created',
    summary: 'Create a snapshot',
    description:
      'Names the current end of the log. The state as of the snapshot stays readable until the snapshot expires or is deleted.',
    access: 'admin',
    idempotent: true,
    body: snapshotBody,
    unredactable: ['name'],
    success: { status: 201, description: 'The snapshot', schema: snapshot },
    problems: ['malformed-json', 'impossible-text', 'validation', 'forbidden', 'conflict'],
    handle: async ({ caller: { tenant }, body, idempotency }) => {
      const { replay, ...created } = await tenant.write((db) => createSnapshot(db, tenant.id, body, idempotency));
      return { body: created, headers: replayHeaders(replay), audit: { name: created.name, seq: created.seq } };
    },
  }),
  route({
    ...tagged,
    method: 'GET',
    path: '/v1/snapshots',
    operation: 'listSnapshots',
    summary: 'List snapshots by name',
    access: 'read',
    query: snapshotList,
    success: { status: 200, description: 'A page of snapshots', schema: snapshotPage },
    problems: ['validation'],
    handle: async ({ caller: { tenant }, query }) => {
      const read = (after: string, count: number) => tenant.read((db) => listSnapshots(db, tenant.id, after, count));
      return { body: await pageById(query, read, (row) => row.name) };
    },
  }),
  route({
    ...tagged,
    method: 'DELETE',
    path: '/v1/snapshots/{name}',
    operation: 'deleteSnapshot',
    audit: 'snapshot.deleted',
    summary: 'Delete a snapshot',
    description: 'The next trim and the retention rules no longer keep what only this snapshot needed.',
    access: 'admin',
    idempotent: true,
    params: snapshotParams,
    success: { status: 204, description: 'The snapshot was deleted' },
    problems: ['validation', 'forbidden', 'not-found', 'conflict'],
    handle: ({ caller: { tenant }, params, idempotency }) =>
      tenant.write(async (db) => {
        if (idempotency && (await recallKey(db, tenant.id, idempotency))) return { headers: replayHeaders(true) };
        if ((await deleteSnapshot(db, tenant.id, params.name)) === 0) throw noSnapshot();
        if (idempotency) await rememberKey(db, tenant.id, idempotency);
        return {};
      }),
  }),
];

const noSnapshot = () => new Problem('not-found', 'There is no snapshot with this name.');
