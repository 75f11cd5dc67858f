-- Lists the longest waiting job of each tenant, so that a tenant with many jobs does not hide others. Skips tenants with p_per_tenant running
-- jobs.
create or replace function list_due_jobs(p_per_tenant int, p_limit int) returns table (tenant_id text, job_id text)
language sql stable security definer set search_path = pg_catalog, public, pg_temp
as $$
  select d.tenant_id, d.job_id
  from (
    select distinct on (j.tenant_id) j.tenant_id, j.job_id, j.due_at
    from public.jobs j
    where j.state in ('queued', 'running') and j.due_at <= clock_timestamp()
      and p_per_tenant > (
        select count(*) from public.jobs h
        where h.tenant_id = j.tenant_id and h.state = 'running' and h.due_at > clock_timestamp())
    order by j.tenant_id, j.due_at
  ) d
  order by d.due_at
  limit p_limit
$$;
revoke execute on function list_due_jobs(int, int) from public;
grant execute on function list_due_jobs(int, int) to agent_memory_app;
alter function list_due_jobs(int, int) owner to agent_memory_overseer;

-- Queues a job. p_key, p_body: hashes in hex of the Idempotency-Key with its scope, and of the body. Returns the id of the new job, or of the
-- first one for a retry. Locks the tenant's row, which serializes equal requests and enforces p_max_open; foreign keys do not wait for it.
create or replace function start_job(p_tenant text, p_job text, p_kind text, p_input jsonb, p_by text, p_max_open int, p_key text, p_body text)
returns table (status text, job_id text)
language plpgsql
as $$
#variable_conflict use_column
declare
  v_known jsonb;
begin
  perform enter_tenant(p_tenant);
  perform from tenants t where t.tenant_id = p_tenant for no key update;
  if not found then
    raise exception 'the tenant does not exist' using errcode = 'AM404';
  end if;
  v_known := recall_key(p_tenant, p_key, p_body);
  if v_known is not null then
    return query select 'replay', v_known ->> 'job_id';
    return;
  end if;
  if p_max_open <= (select count(*) from jobs j where j.tenant_id = p_tenant and j.finished_at is null) then
    raise exception 'the tenant has the maximum number of unfinished jobs' using errcode = 'AM409';
  end if;
  insert into jobs (tenant_id, job_id, kind, input, started_by, due_at, created_at, updated_at)
  values (p_tenant, p_job, p_kind, p_input, p_by, clock_timestamp(), clock_timestamp(), clock_timestamp());
  if p_key is not null then
    perform remember_key(p_tenant, p_key, p_body, jsonb_build_object('job_id', p_job));
  end if;
  return query select 'new', p_job;
end $$;

-- Claims a due job, unless the tenant has p_per_tenant running jobs. Locks the tenant's open jobs in order, so that two daemons cannot both
-- take the last slot. A job that was claimed p_max_tries times without progress fails with p_spent: it may have killed the daemons that
-- claimed it.
create or replace function take_job(p_tenant text, p_job text, p_per_tenant int, p_lease_ms int, p_max_tries int, p_spent jsonb)
returns table (kind text, input jsonb, cursor jsonb, done bigint, total bigint, token int, tries int, started_by text)
language plpgsql
as $$
#variable_conflict use_column
begin
  perform enter_tenant(p_tenant);
  perform from jobs j where j.tenant_id = p_tenant and j.state in ('queued', 'running') order by j.job_id for update;
  update jobs j
  set state = 'failed', problem = p_spent, input = '{}', cursor = null, updated_at = clock_timestamp(), finished_at = clock_timestamp()
  where j.tenant_id = p_tenant and j.job_id = p_job and j.state in ('queued', 'running') and j.due_at <= clock_timestamp()
    and j.tries >= p_max_tries;
  return query
  update jobs j
  set state = 'running', token = j.token + 1, tries = j.tries + 1, updated_at = clock_timestamp(),
    due_at = clock_timestamp() + interval '1 millisecond' * p_lease_ms
  where j.tenant_id = p_tenant and j.job_id = p_job and j.state in ('queued', 'running') and j.due_at <= clock_timestamp()
    and p_per_tenant > (
      select count(*) from jobs h where h.tenant_id = p_tenant and h.state = 'running' and h.due_at > clock_timestamp())
  returning j.kind, j.input, j.cursor, j.done, j.total, j.token, j.tries, j.started_by;
end $$;

-- Stores the progress of a job; returns false if the caller has lost the lease. A changed cursor resets the number of tries. Called in the
-- transaction of a batch, it makes progress and batch atomic.
create or replace function report_job(p_tenant text, p_job text, p_token int, p_done bigint, p_total bigint, p_cursor jsonb, p_lease_ms int)
returns boolean
language plpgsql
as $$
begin
  perform enter_tenant(p_tenant);
  update jobs j
  set done = coalesce(p_done, j.done), total = coalesce(p_total, j.total), cursor = coalesce(p_cursor, j.cursor),
    tries = case when p_cursor is distinct from j.cursor and p_cursor is not null then 1 else j.tries end,
    updated_at = clock_timestamp(), due_at = clock_timestamp() + interval '1 millisecond' * p_lease_ms
  where j.tenant_id = p_tenant and j.job_id = p_job and j.token = p_token and j.state = 'running';
  return found;
end $$;

-- Releases a job; it may be claimed again after p_after_ms. Returns false if the caller has lost the lease.
create or replace function release_job(p_tenant text, p_job text, p_token int, p_after_ms int) returns boolean
language plpgsql
as $$
begin
  perform enter_tenant(p_tenant);
  update jobs j set updated_at = clock_timestamp(), due_at = clock_timestamp() + interval '1 millisecond' * p_after_ms
  where j.tenant_id = p_tenant and j.job_id = p_job and j.token = p_token and j.state = 'running';
  return found;
end $$;

create or replace function finish_job(p_tenant text, p_job text, p_token int, p_result jsonb, p_problem jsonb) returns boolean
language plpgsql
as $$
begin
  perform enter_tenant(p_tenant);
  update jobs j
  set state = case when p_problem is null then 'done' else 'failed' end, result = p_result, problem = p_problem, input = '{}', cursor = null,
    total = case when p_problem is null then coalesce(greatest(j.total, j.done), j.done) else j.total end,
    done = case when p_problem is null then coalesce(greatest(j.total, j.done), j.done) else j.done end,
    updated_at = clock_timestamp(), finished_at = clock_timestamp()
  where j.tenant_id = p_tenant and j.job_id = p_job and j.token = p_token and j.state = 'running';
  return found;
end $$;

-- Marks a job as running within the request that started it, with token 0, so that no daemon can report it. It may be claimed once its lease
-- has expired.
create or replace function hold_job(p_tenant text, p_job text, p_lease_ms int) returns void
language sql
begin atomic
  update jobs j set state = 'running', due_at = clock_timestamp() + interval '1 millisecond' * p_lease_ms
  where j.tenant_id = p_tenant and j.job_id = p_job;
end;

-- Adds progress to such a job and renews its lease; returns false if a daemon has claimed it.
create or replace function advance_job(p_tenant text, p_job text, p_more bigint, p_total bigint, p_lease_ms int) returns boolean
language plpgsql
as $$
begin
  update jobs j
  set done = j.done + p_more, total = coalesce(p_total, j.total), updated_at = clock_timestamp(),
    due_at = clock_timestamp() + interval '1 millisecond' * p_lease_ms
  where j.tenant_id = p_tenant and j.job_id = p_job and j.state = 'running' and j.token = 0;
  return found;
end $$;

-- Leaves the rest of such a job to any daemon.
create or replace function hand_over_job(p_tenant text, p_job text, p_input jsonb) returns void
language sql
begin atomic
  update jobs j set state = 'queued', input = p_input where j.tenant_id = p_tenant and j.job_id = p_job;
end;

create or replace function fail_job(p_tenant text, p_job text, p_problem jsonb) returns void
language sql
begin atomic
  update jobs j
  set state = 'failed', problem = p_problem, input = '{}', updated_at = clock_timestamp(), finished_at = clock_timestamp()
  where j.tenant_id = p_tenant and j.job_id = p_job and j.finished_at is null;
end;

-- Replaces an erased user as the starter of jobs as soon as the account has been deleted. Otherwise a job would stop, because its starter is
-- no longer authorized. Jobs are not counted in the result of the erasure.
create or replace function jobs_revoke(p_tenant text, p_job text, p_erasure jsonb, p_after text, p_limit int)
returns table (last text, counts jsonb)
language plpgsql
as $$
begin
  if not p_erasure ? 'dry_run' then
    update jobs j set started_by = p_erasure ->> 'name'
    where j.tenant_id = p_tenant and j.started_by = any (array(select jsonb_array_elements_text(p_erasure -> 'users')));
  end if;
  counts := '{}';
  return next;
end $$;

-- Locks the jobs that a kill fails before it locks the clock, because a step of a job locks its job first.
create or replace function jobs_killing(p_tenant text, p_agents text[]) returns void
language plpgsql
as $$
begin
  perform from jobs j
  where j.tenant_id = p_tenant and j.finished_at is null and j.started_by = any (keys_of_agents(p_tenant, p_agents))
  order by j.job_id
  for update;
end $$;

-- Fails the unfinished jobs that keys of killed agents started. A daemon that runs one stops at its next step, which renews the lease.
create or replace function jobs_killed(p_tenant text, p_agents text[], p_at timestamptz) returns void
language plpgsql
as $$
begin
  update jobs j
  set state = 'failed', input = '{}', cursor = null, updated_at = p_at, finished_at = p_at, problem = jsonb_build_object(
    'type', '/docs/problems#forbidden', 'title', 'The credential does not permit the request', 'status', 403,
    'detail', 'The agent whose key started the job was killed.')
  where j.tenant_id = p_tenant and j.finished_at is null and j.started_by = any (keys_of_agents(p_tenant, p_agents));
end $$;
