-- Returns the hash by which a vector remembers the text that was embedded.
create or replace function embedding_source(p_text text) returns uuid
language sql immutable parallel safe
return md5(p_text)::uuid;

-- Returns the tenants whose log has passages that the model has not examined, those that have waited longest first, and how many events these are
-- (an estimate: a gap counts its events).
create or replace function list_embedding_backlogs(p_model text, p_limit int) returns table (tenant_id text, events bigint)
language sql stable security definer set search_path = pg_catalog, public, pg_temp
as $$
  select c.tenant_id, greatest(0, c.last_seq - coalesce(b.next_seq, 1) + 1) + coalesce(g.events, 0)
  from public.tenant_clocks c
  join public.tenants t on t.tenant_id = c.tenant_id and t.state = 'active'
  left join public.embedding_backlogs b on b.tenant_id = c.tenant_id and b.model = p_model
  left join lateral (
    select sum(x.last_seq - x.next_seq + 1)::bigint as events from public.embedding_gaps x where x.tenant_id = c.tenant_id and x.model = p_model
  ) g on true
  where c.last_seq >= coalesce(b.next_seq, 1) or g.events is not null
  order by b.lease_until nulls first
  limit p_limit
$$;
revoke execute on function list_embedding_backlogs(text, int) from public;
grant execute on function list_embedding_backlogs(text, int) to agent_memory_app;
alter function list_embedding_backlogs(text, int) owner to agent_memory_overseer;

-- Takes the lease of a tenant's backlog. Returns its number, or null if another daemon has it or the tenant is gone.
create or replace function lease_embeddings(p_tenant text, p_model text, p_lease_ms int) returns bigint
language plpgsql
as $$
declare
  v_lease bigint;
begin
  perform enter_tenant(p_tenant);
  insert into embedding_backlogs (tenant_id, model) select t.tenant_id, p_model from tenants t where t.tenant_id = p_tenant
  on conflict (tenant_id, model) do nothing;
  update embedding_backlogs b set lease_id = b.lease_id + 1, lease_until = clock_timestamp() + p_lease_ms * interval '1 millisecond'
  where b.tenant_id = p_tenant and b.model = p_model and b.lease_until < clock_timestamp()
  returning b.lease_id into v_lease;
  return v_lease;
end $$;

-- Extends a lease; with 0, ends it, so that any daemon can take the next turn.
create or replace function extend_embedding_lease(p_tenant text, p_model text, p_lease_id bigint, p_lease_ms int) returns void
language plpgsql
as $$
begin
  perform enter_tenant(p_tenant);
  update embedding_backlogs b set lease_until = clock_timestamp() + p_lease_ms * interval '1 millisecond'
  where b.tenant_id = p_tenant and b.model = p_model and b.lease_id = p_lease_id;
end $$;

-- Returns the next passages to embed, at most p_limit, in the first gap or else at the end of what was examined, with the position before and after
-- them. `gap` is the last seq of the gap, null outside of one. `rest` is false if nothing was left to examine. Examines at most 5,000 passages, which
-- bounds a call whose passages have vectors already.
create or replace function next_to_embed(p_tenant text, p_model text, p_limit int)
returns table (gap bigint, version int, to_seq bigint, to_ordinal smallint, rest boolean, passages json)
language plpgsql stable
as $$
declare
  v_from_seq bigint;
  v_from_ordinal smallint;
  v_last bigint;
  v_ended boolean;
begin
  perform enter_tenant(p_tenant);
  select g.next_seq, g.next_ordinal, g.last_seq, g.last_seq, g.version into v_from_seq, v_from_ordinal, v_last, gap, version
  from embedding_gaps g where g.tenant_id = p_tenant and g.model = p_model
  order by g.last_seq
  limit 1;
  if gap is null then
    select b.next_seq, b.next_ordinal, c.last_seq into v_from_seq, v_from_ordinal, v_last
    from embedding_backlogs b join tenant_clocks c on c.tenant_id = b.tenant_id
    where b.tenant_id = p_tenant and b.model = p_model;
  end if;
  rest := v_from_seq <= v_last;
  with examined as materialized (
    select c.seq, c.ordinal, v.seq is null as missing, count(*) filter (where v.seq is null) over (order by c.seq, c.ordinal) as nth
    from (
      select x.seq, x.ordinal from chunks x
      where x.tenant_id = p_tenant and (x.seq, x.ordinal) >= (v_from_seq, v_from_ordinal) and x.seq <= v_last
      order by x.seq, x.ordinal
      limit 5000
    ) c
    left join embeddings v on v.tenant_id = p_tenant and v.seq = c.seq and v.ordinal = c.ordinal and v.model = p_model
  )
  select
    (select count(*) < 5000 and coalesce(max(e.nth), 0) <= p_limit from examined e),
    (array_agg(e.seq order by e.seq desc, e.ordinal desc))[1], (array_agg(e.ordinal + 1 order by e.seq desc, e.ordinal desc))[1],
    coalesce(
      json_agg(json_build_object('seq', e.seq, 'ordinal', e.ordinal, 'text', p.text, 'source', embedding_source(p.text)) order by e.seq, e.ordinal)
        filter (where p.text ~ '\S'), '[]')
  into v_ended, to_seq, to_ordinal, passages
  from examined e
  left join lateral (
    select passage_text(k) as text from chunks k where k.tenant_id = p_tenant and k.seq = e.seq and k.ordinal = e.ordinal and e.missing limit 1
  ) p on true
  where e.nth <= p_limit;
  if v_ended then
    to_seq := v_last + 1;
    to_ordinal := 0;
  end if;
  return next;
end $$;

-- Returns true if passages up to p_as_of wait for the model. A gap counts as waiting: its passages may have vectors of an earlier text.
create or replace function embeddings_pending(p_tenant text, p_model text, p_as_of bigint) returns boolean
language plpgsql stable
as $$
declare
  v_seq bigint;
  v_ordinal smallint;
begin
  perform enter_tenant(p_tenant);
  select b.next_seq, b.next_ordinal into v_seq, v_ordinal from embedding_backlogs b where b.tenant_id = p_tenant and b.model = p_model;
  return exists (select from embedding_gaps g where g.tenant_id = p_tenant and g.model = p_model and g.next_seq <= p_as_of)
    or exists (
      select from chunks c
      where c.tenant_id = p_tenant and (c.seq, c.ordinal) >= (coalesce(v_seq, 1), coalesce(v_ordinal, 0::smallint)) and c.seq <= p_as_of);
end $$;

-- Notes that the passages p_from..p_to must be examined again, by every model.
create or replace function add_embedding_gaps(p_tenant text, p_from bigint, p_to bigint) returns void
language sql
begin atomic
  insert into embedding_gaps as g (tenant_id, model, next_seq, last_seq)
  select b.tenant_id, b.model, p_from, p_to from embedding_backlogs b where b.tenant_id = p_tenant
  on conflict (tenant_id, model, last_seq) do update
  set next_seq = least(g.next_seq, excluded.next_seq), next_ordinal = 0, version = g.version + 1;
end;

-- Writes vectors and the position after them, and extends the lease. p_rows: [{"seq", "ordinal", "source", "vector" (base64), "signs"}]. Returns false
-- and writes nothing if another daemon has the lease. A vector is not written if its passage is gone or has another text: an erasure or an edit during
-- the call must not leave a vector of the old text. The passages are locked against changes; those that are locked are examined again later.
create or replace function write_embeddings(
  p_tenant text, p_model text, p_lease_id bigint, p_lease_ms int, p_gap bigint, p_version int, p_to_seq bigint, p_to_ordinal smallint, p_rows jsonb)
returns boolean
language plpgsql
as $$
declare
  v_late bigint[];
begin
  perform enter_tenant(p_tenant);
  update embedding_backlogs b
  set lease_until = clock_timestamp() + p_lease_ms * interval '1 millisecond',
    next_seq = case when p_gap is null then p_to_seq else b.next_seq end,
    next_ordinal = case when p_gap is null then p_to_ordinal else b.next_ordinal end
  where b.tenant_id = p_tenant and b.model = p_model and b.lease_id = p_lease_id;
  if not found then
    return false;
  end if;
  update embedding_gaps g set next_seq = p_to_seq, next_ordinal = p_to_ordinal
  where g.tenant_id = p_tenant and g.model = p_model and g.last_seq = p_gap and g.version = p_version;
  delete from embedding_gaps g where g.tenant_id = p_tenant and g.model = p_model and g.last_seq = p_gap and g.next_seq > p_gap;
  with given as (
    select * from jsonb_to_recordset(p_rows) r (seq bigint, ordinal smallint, source uuid, vector text, signs bit varying)
  ),
  written as (
    insert into embeddings as v (tenant_id, seq, ordinal, model, source, vector, signs)
    select p_tenant, g.seq, g.ordinal, p_model, g.source, decode(g.vector, 'base64'), g.signs
    from given g
    cross join lateral (
      select c as chunk from chunks c where c.tenant_id = p_tenant and c.seq = g.seq and c.ordinal = g.ordinal for share skip locked
    ) k
    where embedding_source(passage_text(k.chunk)) = g.source
    on conflict (tenant_id, seq, ordinal, model) do update set source = excluded.source, vector = excluded.vector, signs = excluded.signs
    returning v.seq, v.ordinal
  )
  select array_agg(distinct g.seq) into v_late from given g where not exists (select from written w where w.seq = g.seq and w.ordinal = g.ordinal);
  perform add_embedding_gaps(p_tenant, s, s) from unnest(v_late) s;
  return true;
end $$;

-- Returns the vectors of these passages by each model, joined into one value, and the positions in the input of the passages that have one.
create or replace function read_embeddings(p_tenant text, p_models text[], p_seqs bigint[], p_ordinals int[])
returns table (model text, positions int[], vectors bytea)
language plpgsql stable
set jit = off set enable_seqscan = off
as $$
begin
  perform enter_tenant(p_tenant);
  return query
  select v.model, array_agg(w.position::int - 1 order by w.position), string_agg(v.vector, '' order by w.position)
  from unnest(p_seqs, p_ordinals) with ordinality w (seq, ordinal, position)
  cross join lateral (
    select e.model, e.vector from embeddings e
    where e.tenant_id = p_tenant and e.seq = w.seq and e.ordinal = w.ordinal and e.model = any (p_models) and e.vector <> ''
  ) v
  group by v.model;
end $$;

-- Deletes the vectors of the passages p_from..p_to whose text has changed, and has the passages examined again. Returns the number deleted.
create or replace function reexamine_embeddings(p_tenant text, p_from bigint, p_to bigint) returns bigint
language plpgsql
as $$
declare
  v_count bigint;
begin
  delete from embeddings v
  where v.tenant_id = p_tenant and v.seq between p_from and p_to and not exists (
    select from chunks c
    where c.tenant_id = p_tenant and c.seq = v.seq and c.ordinal = v.ordinal and embedding_source(passage_text(c)) = v.source);
  get diagnostics v_count = row_count;
  perform add_embedding_gaps(p_tenant, p_from, p_to);
  return v_count;
end $$;

create or replace function embeddings_rebuilt(p_tenant text, p_from bigint, p_to bigint) returns void
language sql
as $$ select reexamine_embeddings(p_tenant, p_from, p_to) $$;

create or replace function embeddings_reworded(p_tenant text, p_seq bigint) returns void
language sql
as $$ select reexamine_embeddings(p_tenant, p_seq, p_seq) $$;

create or replace function embeddings_rename(p_tenant text, p_seq bigint, p_parts jsonb) returns void
language sql
as $$ select reexamine_embeddings(p_tenant, p_seq, p_seq) $$;

create or replace function embeddings_repair(p_tenant text, p_from bigint, p_to bigint) returns bigint
language sql
as $$ select reexamine_embeddings(p_tenant, p_from, p_to) $$;

-- Checks that each vector is that of the present text of its passage. Missing vectors are no fault: they are in the backlog.
create or replace function embeddings_check(p_tenant text, p_from bigint, p_to bigint) returns setof finding
language plpgsql stable
set plan_cache_mode = force_custom_plan
as $$
begin
  return query
  with judged as (
    select v.seq, v.ordinal, v.source is distinct from p.source as wrong
    from embeddings v
    left join lateral (
      select embedding_source(passage_text(c)) as source from chunks c where c.tenant_id = p_tenant and c.seq = v.seq and c.ordinal = v.ordinal limit 1
    ) p on true
    where v.tenant_id = p_tenant and v.seq between p_from and p_to
  )
  select 'embeddings', count(*), count(*) filter (where j.wrong),
    sample_of(jsonb_build_object('seq', j.seq, 'ordinal', j.ordinal) order by j.seq) filter (where j.wrong), false
  from judged j;
end $$;

-- Deletes the vectors of blanked or dropped events.
create or replace function embeddings_clear(p_tenant text, p_seqs bigint[], p_dry boolean) returns jsonb
language plpgsql
as $$
declare
  v_count bigint;
begin
  if p_dry then
    select count(*) into v_count from embeddings v where v.tenant_id = p_tenant and v.seq = any (p_seqs);
  else
    delete from embeddings v where v.tenant_id = p_tenant and v.seq = any (p_seqs);
    get diagnostics v_count = row_count;
  end if;
  return jsonb_build_object('embeddings', v_count);
end $$;

-- Deletes at most p_limit vectors of models that p_model has replaced, once p_model has embedded the whole log. A model counts as replaced if no
-- daemon has worked with it for an hour: during an update, daemons with the old model may still run. Returns the number deleted.
create or replace function drop_replaced_embeddings(p_tenant text, p_model text, p_limit int) returns bigint
language plpgsql
as $$
declare
  v_model text;
  v_count bigint;
begin
  perform enter_tenant(p_tenant);
  select o.model into v_model
  from embedding_backlogs b
  join tenant_clocks c on c.tenant_id = b.tenant_id and b.next_seq > c.last_seq
  join embedding_backlogs o on o.tenant_id = b.tenant_id and o.model <> b.model and o.lease_until < now() - interval '1 hour'
  where b.tenant_id = p_tenant and b.model = p_model
    and not exists (select from embedding_gaps g where g.tenant_id = p_tenant and g.model = p_model)
  limit 1
  for update of o;
  if v_model is null then
    return 0;
  end if;
  -- first, so that the model begins again if it is used again
  update embedding_backlogs b set next_seq = 1, next_ordinal = 0 where b.tenant_id = p_tenant and b.model = v_model;
  delete from embeddings v
  where v.tenant_id = p_tenant and v.model = v_model and (v.seq, v.ordinal) in (
    select x.seq, x.ordinal from embeddings x where x.tenant_id = p_tenant and x.model = v_model limit p_limit);
  get diagnostics v_count = row_count;
  if v_count < p_limit then
    delete from embedding_backlogs b where b.tenant_id = p_tenant and b.model = v_model;
  end if;
  return v_count;
end $$;

-- Returns the name of the index over the vectors of a model. Each model has its own, because an index needs vectors of one length.
create or replace function vector_index_name(p_model text) returns text
language sql immutable parallel safe
return 'embeddings__near_' || left(md5(p_model), 16);

-- Returns the names of the indexes of models with which a daemon has worked within an hour, as drop_replaced_embeddings.
create or replace function vector_indexes_in_use() returns setof text
language sql stable security definer set search_path = pg_catalog, public, pg_temp
as $$
  select distinct public.vector_index_name(b.model) from public.embedding_backlogs b where b.lease_until >= now() - interval '1 hour'
$$;
revoke execute on function vector_indexes_in_use() from public;
grant execute on function vector_indexes_in_use() to agent_memory_app;
alter function vector_indexes_in_use() owner to agent_memory_overseer;

-- Returns the schema of pgvector if the index of the model exists and is complete, and if a search may use its operators; null otherwise.
create or replace function vector_index_schema(p_model text) returns text
language sql stable
return (
  select n.nspname
  from pg_index i
  join pg_class c on c.oid = i.indexrelid and c.relname = vector_index_name(p_model) and c.relnamespace = 'public'::regnamespace
  join pg_extension x on x.extname = 'vector'
  join pg_namespace n on n.oid = x.extnamespace
  where i.indrelid = 'public.embeddings'::regclass and i.indisvalid and has_schema_privilege('agent_memory_searcher', n.oid, 'usage'));
