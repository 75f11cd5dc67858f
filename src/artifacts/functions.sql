-- Checks that the artifact of each event exists, is linked to the event and has all its bytes.
create or replace function artifacts_check(p_tenant text, p_from bigint, p_to bigint) returns setof finding
language plpgsql stable
set plan_cache_mode = force_custom_plan
as $$
declare
  v_forgotten boolean := has_forgotten(p_tenant);
begin
  return query
  with judged as (
    select e.seq, e.artifact_id,
      case
        when a.artifact_id is null then 'no such artifact'
        when a.event_id is distinct from e.event_id then 'not linked'
        when octet_length(a.bytes) <> a.byte_count then 'not all its bytes'
      end as fault
    from events e
    left join artifacts a on a.tenant_id = p_tenant and a.artifact_id = e.artifact_id
    where e.tenant_id = p_tenant and e.seq between p_from and p_to and e.artifact_id is not null
      and not (a.artifact_id is null and v_forgotten)
  )
  select 'artifacts', count(*), count(j.fault),
    sample_of(jsonb_build_object('seq', j.seq, 'artifact_id', j.artifact_id, 'fault', j.fault) order by j.seq) filter (where j.fault is not null), false
  from judged j;
end $$;

-- Checks for artifacts without an event that should have been swept. Returns one finding, not one per row.
create or replace function artifacts_check_rows(p_tenant text, p_after text, p_limit int)
returns table (name text, checked bigint, wrong bigint, sample jsonb, vital boolean, last text)
language sql stable
as $$
  select 'unlinked_artifacts', 1::bigint, (u.n > 0)::int::bigint, case when u.n > 0 then jsonb_build_array(jsonb_build_object('found', u.n)) else '[]' end, false, null
  from (
    select count(*) as n from artifacts a where a.tenant_id = p_tenant and a.event_id is null and a.created_at < now() - interval '2 days'
  ) u
$$;

create or replace function artifacts_missing(p_tenant text, p_ids text[], p_oldest_id text, p_forgotten boolean)
returns table (id text, gone boolean)
language sql stable
as $$
  select i.id, p_forgotten
  from unnest(p_ids) i (id)
  -- `limit` forces a look-up per id
  left join lateral (
    select a.event_id from artifacts a where a.tenant_id = p_tenant and a.artifact_id = i.id and a.event_id is not null limit 1
  ) a on true
  where a.event_id is null
$$;

-- Links artifacts to the events that name them.
create or replace function artifacts_repair(p_tenant text, p_from bigint, p_to bigint) returns bigint
language plpgsql
as $$
declare
  v_count bigint;
begin
  update artifacts a set event_id = e.event_id
  from events e
  where e.tenant_id = p_tenant and e.seq between p_from and p_to and e.artifact_id is not null
    and a.tenant_id = p_tenant and a.artifact_id = e.artifact_id and a.event_id is distinct from e.event_id;
  get diagnostics v_count = row_count;
  return v_count;
end $$;

create or replace function artifacts_stored(p_tenant text) returns bigint
language sql stable
as $$ select coalesce(sum(a.byte_count), 0)::bigint from artifacts a where a.tenant_id = p_tenant and a.event_id is not null $$;

-- Inserts an artifact as it was exported. Computes its size and hash from the bytes.
create or replace function keep_artifact(p_tenant text, p_row jsonb, p_bytes bytea) returns void
language sql
as $$
  insert into artifacts (tenant_id, artifact_id, event_id, media_type, byte_count, sha256, bytes, channel, sensitivity, user_id, created_at)
  select p_tenant, r.artifact_id, r.event_id, r.media_type, length(p_bytes), sha256(p_bytes), p_bytes, r.channel, r.sensitivity, r.user_id, r.created_at
  from jsonb_populate_record(null::artifacts, p_row) r
$$;

-- Deletes the artifacts of events whose content an erasure, a trim or a retention rule removes.
create or replace function artifacts_clear(p_tenant text, p_seqs bigint[], p_dry boolean) returns jsonb
language plpgsql
as $$
declare
  v_ids text[] := array(
    select e.artifact_id
    from unnest(p_seqs) s (seq)
    -- `offset 0` forces a look-up per event
    cross join lateral (select x.artifact_id from events x where x.tenant_id = p_tenant and x.seq = s.seq offset 0) e
    where e.artifact_id is not null);
  v_count bigint;
  v_bytes bigint;
begin
  select count(*), coalesce(sum(a.byte_count), 0) into v_count, v_bytes from artifacts a where a.tenant_id = p_tenant and a.artifact_id = any (v_ids);
  if not p_dry then
    delete from artifacts a where a.tenant_id = p_tenant and a.artifact_id = any (v_ids);
  end if;
  return jsonb_build_object('artifacts', v_count, 'bytes', v_bytes);
end $$;

-- Applies the effect of an event that names an artifact, {"artifact_id"}: links the artifact, whose bytes become visible.
create or replace function artifacts_apply(p_tenant text, p_effects effect[], p_prepared prepared[], p_at timestamptz) returns answer[]
language plpgsql
as $$
begin
  -- materialized: under row-level security, an id that is extracted from JSON within the condition would not use the index
  with named as materialized (
    select e.event_id, e.doc ->> 'artifact_id' as artifact_id from unnest(p_effects) e
  )
  update artifacts a set event_id = n.event_id
  from named n
  where a.tenant_id = p_tenant and a.artifact_id = n.artifact_id and a.event_id is null;
  return null;
end $$;
