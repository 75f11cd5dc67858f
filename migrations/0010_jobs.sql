-- Jobs: long work with its input, progress and lease.
-- min_code: 1

create table jobs (
  tenant_id text not null,
  job_id text not null,
  kind text not null,
  state text not null default 'queued',
  done bigint not null default 0,
  -- null: not known yet
  total bigint,
  -- Cleared when the job ends, because they may name a person who is erased.
  input jsonb not null,
  cursor jsonb,
  result jsonb,
  problem jsonb,
  started_by text not null,
  -- The lease: a daemon has the job until `due_at`, with this token. Each claim increments the token, so that a daemon that was suspended and
  -- resumes cannot act for its successor. After `due_at` any daemon may claim the job.
  token int not null default 0,
  due_at timestamptz not null,
  -- attempts since the last progress
  tries int not null default 0,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  finished_at timestamptz,
  constraint jobs_pkey primary key (tenant_id, job_id),
  constraint jobs__tenant foreign key (tenant_id) references tenants (tenant_id) on delete cascade,
  constraint jobs__state check (state in ('queued', 'running', 'done', 'failed'))
);

-- for finding due jobs: few rows, regardless of the number of tenants
create index jobs__due on jobs (due_at) where state in ('queued', 'running');

-- for the sweeper
create index jobs__finished on jobs (tenant_id, finished_at) where finished_at is not null;

select wall('jobs', 'select, insert, update, delete');

select noun('jobs', prefix => 'job');

-- The overseer role sees which jobs of all tenants are due, but not their content.
grant select (tenant_id, job_id, state, due_at, token) on jobs to agent_memory_overseer;

create policy overseer_reads on jobs for select to agent_memory_overseer using (true);
