-- Creates a snapshot at the end of the log, which expires after p_lasting seconds. Locks the clock, so that the log cannot grow, or be trimmed
-- past the snapshot, before the row is visible. p_key, p_body: hashes in hex of an Idempotency-Key and its body, or null.
create or replace function create_snapshot(p_tenant text, p_name text, p_lasting int, p_key text, p_body text)
returns table (name text, seq bigint, created_at timestamptz, expires_at timestamptz, replay boolean)
language plpgsql
as $$
declare
  v_clock tenant_clocks;
  v_known jsonb;
  v_new snapshots;
begin
  select * into v_clock from tenant_clocks c where c.tenant_id = p_tenant for update;
  v_known := recall_key(p_tenant, p_key, p_body);
  if v_known is not null then
    v_new := jsonb_populate_record(null::snapshots, v_known);
  elsif v_clock.importing is not null then
    raise exception 'the tenant is being imported' using errcode = 'AM409';
  else
    delete from snapshots s where s.tenant_id = p_tenant and s.expires_at <= clock_timestamp();
    if (select count(*) from snapshots s where s.tenant_id = p_tenant) >= 100 then
      raise exception 'a tenant can have at most 100 snapshots; delete one first' using errcode = 'AM409';
    end if;
    v_new := row(p_tenant, p_name, v_clock.last_seq, clock_timestamp(), clock_timestamp() + p_lasting * interval '1 second')::snapshots;
    insert into snapshots values (v_new.*);
    if p_key is not null then
      perform remember_key(p_tenant, p_key, p_body, to_jsonb(v_new) - 'tenant_id');
    end if;
  end if;
  return query select v_new.name, v_new.seq, v_new.created_at, v_new.expires_at, v_known is not null;
end $$;

-- Returns the position and time of a snapshot by its name. No row: there is none, or it has expired.
create or replace function snapshots_moment(p_tenant text, p_name text) returns table (seq bigint, at timestamptz)
language sql stable
begin atomic
  select s.seq, s.created_at from snapshots s where s.tenant_id = p_tenant and s.name = p_name and s.expires_at > now();
end;

-- Returns the oldest snapshot; a trim ends at its position at the latest. It does so until it expires, whatever p_floor is.
create or replace function snapshots_awaits(p_tenant text, p_floor bigint) returns jsonb
language sql stable
begin atomic
  select jsonb_build_object('reason', 'snapshot', 'seq', s.seq + 1, 'snapshot', s.name)
  from snapshots s
  where s.tenant_id = p_tenant and s.expires_at > now()
  order by s.seq, s.name
  limit 1;
end;

-- Returns the events with state up to the newest snapshot: no rule may blank them. The importance is above every limit of a rule.
create or replace function snapshots_held(p_tenant text, p_seqs bigint[]) returns table (seq bigint, live boolean, importance numeric)
language sql stable
begin atomic
  select e.seq, true, 'infinity'::numeric
  from events e
  where e.tenant_id = p_tenant and e.seq = any (p_seqs) and e.kind = 'state.put'
    and e.seq <= (select max(s.seq) from snapshots s where s.tenant_id = p_tenant and s.expires_at > now());
end;

-- Erases a subject: its pseudonym replaces its name between `.`, `_` and `-` in names of snapshots. If the new name is taken, the snapshot is deleted.
create or replace function snapshots_forget(p_tenant text, p_job text, p_erasure jsonb, p_after text, p_limit int)
returns table (last text, counts jsonb)
language plpgsql
as $$
declare
  v_form text := '(^|[._-])' || regexp_replace(p_erasure ->> 'subject', '(\W)', '\\\1', 'g') || '(?=$|[._-])';
  v_names text[] := array(select s.name from snapshots s where s.tenant_id = p_tenant and s.name ~ v_form);
begin
  if not p_erasure ? 'dry_run' then
    with gone as (
      delete from snapshots s where s.tenant_id = p_tenant and s.name = any (v_names) returning s.name, s.seq, s.created_at, s.expires_at
    )
    insert into snapshots (tenant_id, name, seq, created_at, expires_at)
    select p_tenant, left(regexp_replace(g.name, v_form, '\1' || (p_erasure ->> 'name'), 'g'), 128), g.seq, g.created_at, g.expires_at
    from gone g
    on conflict do nothing;
  end if;
  counts := jsonb_build_object('snapshots', cardinality(v_names));
  return next;
end $$;

-- Import: finds too many snapshots, or one before the beginning of the log. The schema of the row excludes those after its end.
create or replace function snapshots_stray(p_tenant text, p_first bigint, p_after text, p_limit int) returns table (last text, fault text)
language plpgsql stable
as $$
begin
  return query
  select
    max(s.name),
    case when count(*) > 100 then 'A tenant can have at most 100 snapshots.'
    else 'The snapshot ' || min(s.name) filter (where s.seq < p_first - 1 and s.expires_at > now()) || ' is outside the log.' end
  from snapshots s
  where s.tenant_id = p_tenant and s.name > p_after;
end $$;

-- Checks that the position of each snapshot is in the log.
create or replace function snapshots_check_rows(p_tenant text, p_after text, p_limit int)
returns table (name text, checked bigint, wrong bigint, sample jsonb, vital boolean, last text)
language sql stable
begin atomic
  select 'snapshots', count(*), count(*) filter (where w.wrong), sample_of(jsonb_build_object('snapshot', s.name) order by s.name) filter (where w.wrong),
    false, null
  from snapshots s
  join tenant_clocks c on c.tenant_id = s.tenant_id
  cross join lateral (select s.seq > c.last_seq or (s.seq < c.oldest_seq - 1 and s.expires_at > now())) w (wrong)
  where s.tenant_id = p_tenant;
end;
