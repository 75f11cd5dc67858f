import type { Isolation } from '../feature.ts';

const PASSWORD = 'correct horse 9 battery';
const secretInBody = { open: 'authenticated by a secret in the body; its own tests try the secrets of other tenants' };

export const isolation: Isolation = {
  make: async ({ request }, { tenant_id }) => {
    const [invite, spare, key, sessions] = [
      await request('POST', '/auth/invites', { body: { role: 'member' } }),
      await request('POST', '/auth/invites', { body: { role: 'member' } }),
      await request('POST', '/auth/api-keys', { body: { name: 'k', role: 'member', scopes: ['read'] } }),
      await request('GET', '/auth/sessions'),
    ];
    const colleague = { tenant_id, username: 'bob', password: PASSWORD, invite: spare.body.invite };
    const { user } = (await request('POST', '/auth/register', { body: colleague })).body;
    return {
      user_id: user.user_id,
      invite_id: invite.body.invite_id,
      key_id: key.body.key_id,
      session_id: sessions.body.data[0].session_id,
    };
  },
  holdings: ['/auth/users', '/auth/invites', '/auth/api-keys'],
  cases: {
    register: secretInBody,
    logIn: secretInBody,
    refresh: secretInBody,
    logOut: secretInBody,
    resetPassword: secretInBody,
    readMe: { ownAnswer: true },
    changePassword: { body: () => ({ current_password: PASSWORD, new_password: `${PASSWORD} too` }), forgedOnly: true },
    listSessions: { ownAnswer: true },
    endSessions: { forgedOnly: true },
    endSession: {},
    listUsers: { ownAnswer: true },
    changeUser: { body: () => ({ disabled: true }) },
    makePasswordReset: { body: () => ({}) },
    makeInvite: { body: () => ({ role: 'member' }), ownAnswer: true },
    listInvites: { ownAnswer: true },
    deleteInvite: {},
    makeKey: { body: () => ({ name: 'k', role: 'member', scopes: ['read'], user_id: 'alice' }), ownAnswer: true },
    listKeys: { ownAnswer: true },
    revokeKey: {},
  },
};
