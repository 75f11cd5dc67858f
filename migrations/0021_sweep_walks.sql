-- The sweeper's walk over all tenants: one daemon at a time takes it, and another resumes it where a daemon died.
-- min_code: 7

-- Outside the wall: a walk belongs to no tenant. One row. The lease is an expiry time, because a session lock neither passes a
-- transaction pooler nor outlives its daemon in a known way.
create table sweep_walks (
  only_row boolean not null default true,
  -- grows with each lease: a daemon that lost its lease can no longer renew or finish it
  token bigint not null default 0,
  held_until timestamptz not null default '-infinity',
  -- of the walk under way; null between two walks
  begun_at timestamptz,
  -- the last tenant that was dealt with
  after text not null default '',
  -- tenants that could not be swept
  failed int not null default 0,
  -- the next walk begins then, or earlier when a daemon starts
  due_at timestamptz not null default '-infinity',
  -- the last walk that reached the end, and how many tenants it could not sweep
  succeeded_at timestamptz not null default now(),
  last_failed int not null default 0,
  constraint sweep_walks_pkey primary key (only_row),
  constraint sweep_walks__only_row check (only_row)
) with (fillfactor = 50);
insert into sweep_walks default values;
grant select, update on sweep_walks to agent_memory_app;
select let_back_up('sweep_walks');
