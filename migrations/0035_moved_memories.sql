-- min_code: 7
-- Memories that are written cost the same however many the tenant has. As in 0022, but for two look-ups.
create or replace function write_memories(p_tenant text, p_seqs bigint[], p_docs jsonb[], p_at timestamptz) returns text[]
language plpgsql
-- planned anew each time, the large statement cost twice its execution; every join is a look-up by key
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  -- as long as p_seqs: the first that is assigned to an array without bounds becomes its first
  v_ended text[] := array_fill(null::text, array[cardinality(p_seqs)]);
  v_ids text[];
  v_known boolean;
  v_wish record;
begin
  -- In its order, which only the index of what expires gives: a plan of an empty table read every memory of the tenant for each batch.
  if (select m.expires_at from memories m where m.tenant_id = p_tenant and m.status = 'active' and m.expires_at is not null
      order by m.expires_at limit 1) <= clock_timestamp() then
    perform expire_named(p_tenant, p_docs);
  end if;
  for v_wish in
    select w.seq, w.doc #>> '{memory,supersedes}' as ref, w.place
    from unnest(p_seqs, p_docs) with ordinality as w (seq, doc, place)
    where w.doc -> 'memory' ? 'supersedes'
    order by w.place
  loop
    v_ended[v_wish.place] := supersede(p_tenant, v_wish.ref, v_wish.seq);
  end loop;

  with wish as materialized (
    select
      w.place, w.seq, e.channel, e.user_id, e.agent_id, nullif(e.session_id, r.memory_id) as session_id, e.project_id, e.sensitivity, e.tags,
      r.memory_id, r.kind, r.scope, r.status, r.importance, r.pinned, r.valid_from, r.valid_to,
      r.expires_at, r.task_status, coalesce(r.counted, false) as counted, r.only_new, same.*,
      -- what it is the same as: one memory may say it
      case when r.status = 'active' then row(same.text_hash, r.kind, same.scope_id, r.scope, same.subject, e.channel, same.apart)::text else r.memory_id end as key
    from unnest(p_seqs, p_docs) with ordinality as w (seq, doc, place)
    cross join lateral jsonb_to_record(w.doc) e (
      channel text, user_id text, agent_id text, session_id text, project_id text, sensitivity text, tags text[])
    cross join lateral jsonb_to_record(w.doc -> 'memory') r (
      memory_id text, kind text, scope text, text_hash text, status text, importance real, pinned boolean, valid_from timestamptz,
      valid_to timestamptz, expires_at timestamptz, task_status text, task_ref text, counted boolean, only_new boolean)
    cross join lateral (
      select
        -- `||` leaves the primary key as the only way: by the kind it walked all tasks of the tenant. Another's private task is no task
        -- here, or a guess of its name were told right from wrong.
        coalesce(
          (select t.text_hash
           from memories t
           where t.tenant_id = p_tenant and t.memory_id = r.task_ref and t.kind || t.status = 'taskactive'
             and t.channel || '' = e.channel and (e.channel <> 'private' or t.user_id = e.user_id)),
          decode(r.text_hash, 'hex')) as text_hash,
        case r.scope when 'project' then e.project_id when 'session' then e.session_id when 'user' then e.user_id end as scope_id,
        same_subject(r.kind, e.channel, e.user_id) as subject,
        case when r.kind = 'task' then '' else e.sensitivity end as apart
    ) same
  ),
  -- Known by a look-up, which the locked clock makes safe; the unique index stands behind it. Equal ones that meet in this batch: the
  -- first one makes it.
  matched as materialized (
    select
      w.*, known.version as known_version, known.content_seq as known_content_seq, known.at as known_at,
      coalesce(known.memory_id, first_value(w.memory_id) over same) as id,
      row_number() over same as nth,
      -- versions; those that are only counted come last
      greatest(count(*) filter (where not w.counted) over (partition by w.key), (known.memory_id is null)::int) as n,
      count(*) over (partition by w.key) as said,
      first_value(w.seq) over same as first_seq
    from wish w
    left join lateral (
      -- By the hash, in its order, which only the index of equal texts gives: asked for by equality alone, a plan of an empty table took
      -- another index for as good, and read every memory of the tenant for each new one as long as its session lived.
      select m.memory_id, m.version, m.content_seq, m.ctid as at
      from memories m
      where w.status = 'active' and m.tenant_id = p_tenant and m.status = 'active'
        and m.text_hash >= w.text_hash and m.text_hash <= w.text_hash and m.kind || '' = w.kind and m.scope = w.scope
        and m.scope_id is not distinct from w.scope_id and same_subject(m.kind, m.channel, m.user_id) is not distinct from w.subject
        and m.channel = w.channel
        and (case when m.kind = 'task' then '' else m.sensitivity end) = w.apart
      order by m.text_hash
      limit 1
    ) known on true
    window same as (partition by w.key order by w.seq)
  ),
  -- the last of equal ones counts them all
  made as (
    insert into memories (
      tenant_id, memory_id, kind, scope, scope_id, status, version, content_seq, last_seq, user_id, agent_id, session_id, project_id, channel,
      sensitivity, text_hash, importance, pinned, repeats, tags, valid_from, valid_to, expires_at, task_status, created_at, updated_at)
    select
      p_tenant, m.id, m.kind, m.scope, m.scope_id, m.status, m.n, case when m.kind = 'task' then m.seq else m.first_seq end, m.seq, m.user_id, m.agent_id,
      m.session_id, m.project_id, m.channel, m.sensitivity, m.text_hash, m.importance, m.pinned,
      case when m.kind = 'task' then 0 else m.said - 1 end, m.tags, m.valid_from, m.valid_to, m.expires_at, m.task_status, p_at, p_at
    from matched m
    where m.known_version is null and m.nth = m.n
    order by m.seq
  ),
  moved as (
    update memories k
    set
      version = m.known_version + m.n,
      last_seq = case when m.n = 0 then k.last_seq else m.seq end,
      updated_at = case when m.n = 0 then k.updated_at else p_at end,
      repeats = case when m.kind = 'task' then 0 else k.repeats + m.said end,
      content_seq = case when m.kind = 'task' then m.seq else k.content_seq end,
      task_status = m.task_status,
      user_id = case when m.kind = 'task' then m.user_id else k.user_id end,
      agent_id = case when m.kind = 'task' then m.agent_id else k.agent_id end,
      sensitivity = m.sensitivity,
      tags = case when m.kind = 'task' then m.tags else k.tags end,
      -- the newest update of a task says when it holds; what was pinned stays so
      pinned = k.pinned or (m.kind = 'task' and m.pinned),
      valid_from = case when m.kind = 'task' then m.valid_from else k.valid_from end,
      valid_to = case when m.kind = 'task' then m.valid_to else k.valid_to end,
      expires_at = case when m.kind = 'task' then m.expires_at else k.expires_at end
    from matched m
    -- By its place, which the locked clock keeps: joined by its key, all of the tenant's were read for each batch, mostly for none.
    where m.known_version is not null and m.nth = greatest(m.n, 1) and k.tenant_id = p_tenant and k.ctid = m.known_at
  ),
  versioned as (
    insert into memory_versions (tenant_id, memory_id, version, seq, content_seq, status)
    select
      p_tenant, m.id, coalesce(m.known_version, 0) + m.nth, m.seq,
      case when m.kind = 'task' then m.seq else coalesce(m.known_content_seq, m.first_seq) end, m.status
    from matched m
    where m.nth <= m.n
  )
  select array_agg(m.id order by m.place), bool_or(m.only_new and (m.known_version is not null or m.nth > 1)) into v_ids, v_known
  from matched m;
  if v_known then
    raise exception 'The memory exists.' using errcode = 'AM412';
  end if;

  if cardinality(array_remove(v_ended, null)) > 0 then
    update memories m set superseded_by = w.id
    from unnest(v_ids, v_ended) w (id, ended)
    where m.tenant_id = p_tenant and m.memory_id = w.ended;
  end if;
  if exists (select from unnest(p_docs) w (doc) where w.doc #>> '{memory,kind}' = 'task') then
    perform settle_tasks(p_tenant, v_ids, p_seqs[1]);
  end if;
  return v_ids;
end $$;
