-- A task that several people share is one task, whoever moves it.
-- min_code: 7

-- Whom a memory must be about to be the same as another: nobody in particular, where it is a task outside private channels.
create function same_subject(p_kind text, p_channel text, p_user_id text) returns text
language sql immutable parallel safe
return case when p_kind = 'task' and p_channel <> 'private' then '' else p_user_id end;

-- Tasks that were split between those who moved them: the one that moved last takes the place of the others.
do $$
declare
  v_tenant text;
  v_split record;
begin
  for v_tenant in select t.tenant_id from list_tenants('', 2147483647) t loop
    perform enter_tenant(v_tenant);
    perform from tenant_clocks c where c.tenant_id = v_tenant for update;
    update memories m set status = 'expired', doing_agent = null
    where m.tenant_id = v_tenant and m.kind = 'task' and m.status = 'active' and m.expires_at <= clock_timestamp();
    for v_split in
      select o.*
      from (
        select m.memory_id, first_value(m.memory_id) over same as newest_id, first_value(m.last_seq) over same as newest_seq
        from memories m
        where m.tenant_id = v_tenant and m.kind = 'task' and m.status = 'active' and m.channel <> 'private'
        window same as (partition by m.text_hash, m.scope, m.scope_id, m.channel order by m.last_seq desc, m.memory_id)
      ) o
      where o.memory_id <> o.newest_id
    loop
      perform end_memory(v_tenant, v_split.memory_id, 'superseded', v_split.newest_seq);
      update memories m set superseded_by = v_split.newest_id where m.tenant_id = v_tenant and m.memory_id = v_split.memory_id;
    end loop;
  end loop;
  perform set_config('role', 'none', true);
end $$;

drop index memories__same;
create unique index memories__same on memories (
  tenant_id, text_hash, kind, scope, scope_id, same_subject(kind, channel, user_id), channel, (case when kind = 'task' then '' else sensitivity end))
  nulls not distinct where status = 'active';

-- As in 0019.
create or replace function expire_named(p_tenant text, p_docs jsonb[]) returns void
language plpgsql
as $$
begin
  update memories m set status = 'expired', doing_agent = null
  from (
    select o.memory_id
    from unnest(p_docs) w (doc)
    cross join lateral (
      -- by the hash, as `known` in write_memories
      (select t.memory_id
       from memories t
       where t.tenant_id = p_tenant and t.status = 'active' and t.expires_at + interval '0' <= clock_timestamp()
         and t.text_hash >= decode(w.doc #>> '{memory,text_hash}', 'hex') and t.text_hash <= decode(w.doc #>> '{memory,text_hash}', 'hex')
         and same_subject(t.kind, t.channel, t.user_id) is not distinct from same_subject(t.kind, t.channel, w.doc ->> 'user_id')
         and t.channel = w.doc ->> 'channel'
       order by t.text_hash
       limit 1000)
      union all
      select t.memory_id
      from memories t
      where t.tenant_id = p_tenant and t.memory_id = w.doc #>> '{memory,task_ref}' and t.status || '' = 'active'
        and t.expires_at + interval '0' <= clock_timestamp()
    ) o
  ) past
  where m.tenant_id = p_tenant and m.memory_id = past.memory_id;
end $$;

-- As in 0019. The newest update of a task says whom it is about.
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
  if exists (select from memories m where m.tenant_id = p_tenant and m.status = 'active' and m.expires_at <= clock_timestamp()) then
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
      w.*, known.version as known_version, known.content_seq as known_content_seq,
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
      select m.memory_id, m.version, m.content_seq
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
    where m.known_version is not null and m.nth = greatest(m.n, 1) and k.tenant_id = p_tenant and k.memory_id = m.id
      -- or all of the tenant's were joined, mostly for none
      and k.memory_id = any (array(select x.id from matched x where x.known_version is not null))
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

-- As in 0007. Of several moves in one change each ends the passages of the one before.
create or replace function settle_tasks(p_tenant text, p_memory_ids text[], p_from bigint) returns void
language plpgsql
as $$
declare
  v_move record;
begin
  for v_move in
    select v.memory_id, v.seq, e.occurred_at
    from memories m
    join memory_versions v on v.tenant_id = p_tenant and v.memory_id = m.memory_id and v.version > 1 and v.seq >= p_from
    join events e on e.tenant_id = p_tenant and e.seq = v.seq
    where m.tenant_id = p_tenant and m.memory_id = any (p_memory_ids) and m.kind = 'task'
    order by v.seq
  loop
    perform end_passages(p_tenant, v_move.memory_id, v_move.seq, v_move.occurred_at, p_from);
  end loop;
  update memories m set doing_agent = null
  where m.tenant_id = p_tenant and m.memory_id = any (p_memory_ids) and m.doing_agent is not null;
  if exists (select from tenants t where t.tenant_id = p_tenant and (t.settings ->> 'one_doing_per_agent')::boolean) then
    update memories m set doing_agent = null
    where m.tenant_id = p_tenant and m.expires_at <= clock_timestamp() and m.doing_agent = any (array(
      select t.agent_id from memories t where t.tenant_id = p_tenant and t.memory_id = any (p_memory_ids)));
    update memories m set doing_agent = m.agent_id
    where m.tenant_id = p_tenant and m.memory_id = any (p_memory_ids) and m.kind = 'task' and m.task_status = 'doing' and m.status = 'active';
  end if;
end $$;
