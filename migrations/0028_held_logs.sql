-- A trim says what holds the log, and the preview of a policy is counted in short steps.
-- min_code: 7

-- What a trim may not pass although the policy wants it to: the first of what trim_bound (0012) looks at. Null: nothing.
create function trim_hold(p_tenant text, p_job text, p_trim jsonb, p_now timestamptz) returns jsonb
language plpgsql stable
as $$
declare
  v_wanted bigint;
begin
  perform enter_tenant(p_tenant);
  v_wanted := case
    when p_trim ? 'keep_events' then (select c.last_seq from tenant_clocks c where c.tenant_id = p_tenant) - (p_trim ->> 'keep_events')::bigint
    when p_trim ? 'keep_days' then seq_before(p_tenant, p_now - interval '1 day' * (p_trim ->> 'keep_days')::float8) else 0 end;
  return (
    select jsonb_strip_nulls(jsonb_build_object('reason', h.reason, 'seq', h.seq, 'memory_id', h.memory_id, 'event_id', h.event_id, 'webhook_id', h.webhook_id))
    from (
      (select 'memory' as reason, m.content_seq as seq, m.memory_id, e.event_id, null as webhook_id
       from memories m left join events e on e.tenant_id = p_tenant and e.seq = m.content_seq
       where m.tenant_id = p_tenant and stands(m) and not exists (
         select from erasure_marks k where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'memory' and k.id = m.memory_id)
       order by m.content_seq
       limit 1)
      union all
      (select 'evidence', k.seq, null, k.id, null
       from erasure_marks k
       where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'pin'
       order by k.seq
       limit 1)
      union all
      (select 'webhook', greatest(w.cursor, seq_before(p_tenant, p_now - interval '7 days')) + 1, null, null, w.webhook_id
       from webhooks w
       where w.tenant_id = p_tenant and w.active
       order by w.cursor
       limit 1)
    ) h
    where h.seq <= v_wanted
    order by h.seq
    limit 1);
end $$;

-- One page of what a run would blank, by the ids of its events: counts and times by kind.
create function count_old(p_tenant text, p_job text, p_after text, p_limit int)
returns table (last_id text, kind text, events bigint, oldest timestamptz, newest timestamptz)
language plpgsql stable
as $$
begin
  perform enter_tenant(p_tenant);
  return query
  with page as materialized (
    select k.id, k.seq
    from erasure_marks k
    where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'event' and k.id > p_after
    order by k.id
    limit p_limit
  )
  select (select max(p.id) from page p), e.kind, count(*), min(e.created_at), max(e.created_at)
  from page p join events e on e.tenant_id = p_tenant and e.seq = p.seq
  group by e.kind;
end $$;

-- What else the preview says, after everything was found.
create function foresee_retention(p_tenant text, p_job text, p_trim jsonb, p_now timestamptz) returns jsonb
language plpgsql stable
as $$
declare
  v_to bigint;
  v_oldest bigint;
begin
  perform enter_tenant(p_tenant);
  select c.oldest_seq into v_oldest from tenant_clocks c where c.tenant_id = p_tenant;
  v_to := trim_bound(p_tenant, p_job, p_trim, p_now);
  return jsonb_build_object(
    'memories', (select count(*) from erasure_marks k where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'memory'),
    'sample', (
      select coalesce(jsonb_agg(s.id), '[]') from (
        select k.id from erasure_marks k where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'event' order by k.seq limit 10) s),
    'trimmed', greatest(0, v_to - v_oldest + 1), 'oldest_seq', greatest(v_oldest, v_to + 1),
    'held_by', trim_hold(p_tenant, p_job, p_trim, p_now));
end $$;
