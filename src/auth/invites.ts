import { pageById } from '../http/page.ts';
import { Problem } from '../http/problem.ts';
import { assertNotAbove, assertPerson } from './grants.ts';
import { route } from './principal.ts';
import { inviteBody, invitePage, inviteParams, listQuery, newInvite } from './schemas.ts';
import { makeSecret } from './secrets.ts';
import { deleteInvite, insertInvite, listInvites } from './users_sql.ts';

const admin = { tag: 'Users', access: 'admin', limit: 'auth' } as const;

export const inviteRoutes = () => [
  route({
    ...admin,
    method: 'POST',
    path: '/auth/invites',
    operation: 'makeInvite',
    summary: 'Create an invite',
    description: 'An invite lets one person register in the tenant.',
    body: inviteBody,
    unredactable: ['username'],
    audit: 'invite.made',
    success: { status: 201, description: 'The invite. Its secret is shown only in this response', schema: newInvite },
    problems: ['validation', 'forbidden', 'conflict'],
    handle: async ({ caller: { tenant, principal }, body }) => {
      assertPerson(principal);
      assertNotAbove(principal, body.role);
      const secret = makeSecret('inv', tenant.id);
      const invite = { ...body, username: body.username ?? null, created_by: principal.user_id };
      const created = await tenant.write((db) => insertInvite(db, tenant.id, secret, invite));
      if (!created) throw new Problem('conflict', 'The tenant has too many unused invites. Delete some first.');
      return {
        body: { ...created, invite: secret.text },
        headers: { Location: `/auth/invites/${created.invite_id}` },
        audit: { invite_id: created.invite_id, role: created.role, username: created.username ?? null },
      };
    },
  }),
  route({
    ...admin,
    method: 'GET',
    path: '/auth/invites',
    operation: 'listInvites',
    summary: 'List invites',
    query: listQuery,
    success: { status: 200, description: 'A page of invites, without their secrets', schema: invitePage },
    problems: ['validation', 'forbidden'],
    handle: async ({ caller: { tenant }, query }) => {
      const read = (after: string, count: number) => tenant.read((db) => listInvites(db, tenant.id, after, count));
      return { body: await pageById(query, read, (row) => row.invite_id) };
    },
  }),
  route({
    ...admin,
    method: 'DELETE',
    path: '/auth/invites/{invite_id}',
    operation: 'deleteInvite',
    summary: 'Delete an invite',
    params: inviteParams,
    audit: 'invite.deleted',
    success: { status: 204, description: 'The invite was deleted' },
    problems: ['forbidden', 'not-found'],
    handle: async ({ caller: { tenant }, params }) => {
      const deleted = await tenant.write((db) => deleteInvite(db, tenant.id, params.invite_id));
      if (deleted === 0) throw new Problem('not-found', 'There is no invite with this id.');
      return {};
    },
  }),
];
