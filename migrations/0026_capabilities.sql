-- The ids of the keys with which each running daemon verifies capabilities.
-- min_code: 1

-- A daemon mints with its next key only if all others verify with it, so that a rolling change of the keys refuses no request. No row-level
-- security, because a row belongs to no tenant. Unlogged: after a crash of the server, the daemons write their rows again.
create unlogged table capability_daemons (
  daemon_id text not null,
  kids text[] not null,
  seen_at timestamptz not null,
  constraint capability_daemons_pkey primary key (daemon_id)
);

grant select, insert, update, delete on capability_daemons to agent_memory_app;

select let_back_up('capability_daemons');
