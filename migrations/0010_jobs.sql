-- Long work: what is to be done, how far it has come, and which daemon is at it.
-- min_code: 1

create table jobs (
  tenant_id text not null,
  job_id text not null,
  kind text not null,
  state text not null default 'queued',
  done bigint not null default 0,
  -- null: not known yet
  total bigint,
  -- What was asked for, and where to go on. Both are emptied when it is over: they may name someone who is to be forgotten.
  input jsonb not null,
  cursor jsonb,
  result jsonb,
  problem jsonb,
  started_by text not null,
  -- The lease: a daemon holds the job until `due_at` with the token it was given. Each holder gets a larger token, so a daemon
  -- that was stopped and resumes cannot act for the one that took over. Past `due_at` any daemon may take it.
  token int not null default 0,
  due_at timestamptz not null,
  -- tries since it last came further
  tries int not null default 0,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  finished_at timestamptz,
  constraint jobs_pkey primary key (tenant_id, job_id),
  constraint jobs__tenant foreign key (tenant_id) references tenants (tenant_id) on delete cascade,
  constraint jobs__state check (state in ('queued', 'running', 'done', 'failed'))
);

-- what a daemon looks for: few rows, whatever the number of tenants
create index jobs__due on jobs (due_at) where state in ('queued', 'running');

-- the sweeper
create index jobs__finished on jobs (tenant_id, finished_at) where finished_at is not null;

select wall('jobs', 'select, insert, update, delete');

select noun('jobs', prefix => 'job');

-- Of all tenants' jobs the overseer sees which are due, and not what they are about.
grant select (tenant_id, job_id, state, due_at, token) on jobs to agent_memory_overseer;

create policy overseer_reads on jobs for select to agent_memory_overseer using (true);
