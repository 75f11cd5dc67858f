import { route } from '../auth/index.ts';
import { decodeCursor, toPage } from '../http/page.ts';
import { type AuditEntry, auditPage, auditQuery } from './schemas.ts';
import { type EntryRow, listAudit } from './sql.ts';

export const auditRoutes = (actions: string[]) => [
  route({
    method: 'GET',
    path: '/v1/audit',
    operation: 'listAudit',
    summary: 'List audit entries',
    description: 'Entries record logins, rejected requests and administrative actions.',
    tag: 'Audit',
    access: 'admin',
    limit: 'v1',
    query: auditQuery(actions),
    success: { status: 200, description: 'A page of audit entries', schema: auditPage },
    problems: ['validation', 'forbidden'],
    handle: async ({ caller: { tenant }, query }) => {
      const from = query.cursor === undefined ? undefined : Number(decodeCursor(query.cursor, ['number'])[0]);
      const rows = await tenant.read((db) => listAudit(db, tenant.id, query, from, query.limit + 1));
      return { body: toPage(rows.map(toEntry), query.limit, ({ seq }) => [seq]) };
    },
  }),
];

const toEntry = ({ seq, at, first_at, action, route, status, count, principal_id, payload, mac }: EntryRow): AuditEntry => ({
  seq,
  at,
  first_at,
  action,
  route,
  status,
  count,
  principal_id,
  payload,
  mac: mac.toString('hex'),
});
