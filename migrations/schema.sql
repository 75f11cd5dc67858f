-- What the migrations amount to, for reading: made by `npm run schema`, checked in CI, never run.

-- Name: answer; Type: TYPE; Schema: public

CREATE TYPE public.answer AS (
	noun text,
	unit integer,
	event integer,
	doc jsonb,
	kept boolean
);

-- Name: effect; Type: TYPE; Schema: public

CREATE TYPE public.effect AS (
	noun text,
	unit integer,
	event integer,
	seq bigint,
	event_id text,
	kind text,
	actor_type text,
	actor_id text,
	session_id text,
	channel text,
	sensitivity text,
	user_id text,
	agent_id text,
	project_id text,
	tags text[],
	occurred_at timestamp with time zone,
	doc jsonb
);

-- Name: finding; Type: TYPE; Schema: public

CREATE TYPE public.finding AS (
	name text,
	checked bigint,
	wrong bigint,
	sample jsonb,
	vital boolean
);

-- Name: judgement; Type: TYPE; Schema: public

CREATE TYPE public.judgement AS (
	unit integer,
	refusal jsonb,
	doc jsonb
);

-- Name: memory_effect; Type: TYPE; Schema: public

CREATE TYPE public.memory_effect AS (
	unit integer,
	event integer,
	seq bigint,
	target_id text,
	memory_id text,
	kind text,
	scope text,
	scope_id text,
	status text,
	text_hash bytea,
	importance real,
	pinned boolean,
	valid_from timestamp with time zone,
	valid_to timestamp with time zone,
	expires_at timestamp with time zone,
	task_status text,
	channel text,
	sensitivity text,
	user_id text,
	agent_id text,
	session_id text,
	project_id text,
	tags text[],
	superseded_id text,
	counted boolean,
	only_new boolean,
	current_version integer,
	current_content_seq bigint,
	current_ctid tid,
	nth integer,
	version_count integer,
	total integer,
	first_seq bigint
);

-- Name: passage; Type: TYPE; Schema: public

CREATE TYPE public.passage AS (
	seq bigint,
	ordinal smallint,
	text text,
	header text,
	token_count integer,
	terms integer[]
);

-- Name: prepared; Type: TYPE; Schema: public

CREATE TYPE public.prepared AS (
	noun text,
	unit integer,
	event integer,
	part integer,
	numbers integer[],
	doc jsonb
);

-- Name: unit_outcome; Type: TYPE; Schema: public

CREATE TYPE public.unit_outcome AS (
	status text,
	outcome jsonb,
	at timestamp with time zone
);

-- Name: verdict; Type: TYPE; Schema: public

CREATE TYPE public.verdict AS (
	unit integer,
	status text,
	key_hash bytea,
	body_hash bytea,
	bytes bigint,
	count integer,
	leader integer,
	seq bigint,
	outcome jsonb,
	at timestamp with time zone
);

-- Name: role_rank(text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.role_rank(p_role text) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ select array_position(array['reader', 'member', 'admin', 'owner'], p_role) $$;

-- Name: users; Type: TABLE; Schema: public

CREATE TABLE public.users (
    tenant_id text NOT NULL,
    user_id text NOT NULL,
    username text NOT NULL,
    email text,
    password_hash text NOT NULL,
    role text NOT NULL,
    subject text NOT NULL,
    generation integer DEFAULT 1 NOT NULL,
    disabled_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT users__role CHECK ((public.role_rank(role) IS NOT NULL))
);

ALTER TABLE ONLY public.users FORCE ROW LEVEL SECURITY;

-- Name: accounts_of(text, text, timestamp with time zone); Type: FUNCTION; Schema: public

CREATE FUNCTION public.accounts_of(p_tenant text, p_subject text, p_before timestamp with time zone) RETURNS TABLE(user_id text, words text[])
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT u.user_id,
     array_remove(ARRAY[u.user_id, u.username, u.email], NULL::text) AS array_remove
    FROM public.users u
   WHERE ((u.tenant_id = accounts_of.p_tenant) AND (u.subject = accounts_of.p_subject) AND (u.created_at < accounts_of.p_before));
END;

-- Name: edit_events; Type: TABLE; Schema: public

CREATE TABLE public.edit_events (
    tenant_id text NOT NULL,
    seq bigint NOT NULL,
    edit_id text NOT NULL
);

ALTER TABLE ONLY public.edit_events FORCE ROW LEVEL SECURITY;

-- Name: edits; Type: TABLE; Schema: public

CREATE TABLE public.edits (
    tenant_id text NOT NULL,
    edit_id text NOT NULL,
    status text NOT NULL,
    version integer DEFAULT 1 NOT NULL,
    target text NOT NULL,
    seq bigint NOT NULL,
    event_id text NOT NULL,
    ordinal smallint,
    memory_id text,
    op text NOT NULL,
    reason text NOT NULL,
    patch jsonb NOT NULL,
    passages jsonb,
    session_id text NOT NULL,
    channel text NOT NULL,
    user_id text,
    agent_id text,
    project_id text,
    sensitivity text NOT NULL,
    proposed_by jsonb NOT NULL,
    principal text NOT NULL,
    decided_by jsonb,
    proposed_seq bigint NOT NULL,
    approved_seq bigint,
    last_seq bigint NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    CONSTRAINT edits__op CHECK ((op = ANY (ARRAY['retract'::text, 'amend'::text, 'quarantine'::text, 'attenuate'::text, 'block'::text]))),
    CONSTRAINT edits__passages CHECK (((op = 'amend'::text) = (passages IS NOT NULL))),
    CONSTRAINT edits__status CHECK ((status = ANY (ARRAY['pending'::text, 'approved'::text, 'rejected'::text, 'reverted'::text])))
);

ALTER TABLE ONLY public.edits FORCE ROW LEVEL SECURITY;

-- Name: active_edits(text, bigint); Type: FUNCTION; Schema: public

CREATE FUNCTION public.active_edits(p_tenant text, p_seq bigint) RETURNS TABLE(n bigint, edit_id text, op text, ordinal smallint, patch jsonb, passages jsonb)
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT row_number() OVER (ORDER BY d.approved_seq) AS row_number,
     d.edit_id,
     d.op,
     d.ordinal,
     d.patch,
         CASE
             WHEN (d.seq = active_edits.p_seq) THEN d.passages
             WHEN (d.op = 'amend'::text) THEN '[]'::jsonb
             ELSE NULL::jsonb
         END AS "case"
    FROM (public.edit_events x
      JOIN public.edits d ON (((d.tenant_id = x.tenant_id) AND (d.edit_id = x.edit_id))))
   WHERE ((x.tenant_id = active_edits.p_tenant) AND (x.seq = active_edits.p_seq) AND (d.status = 'approved'::text));
END;

-- Name: active_role(text, text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.active_role(p_tenant text, p_user text) RETURNS text
    LANGUAGE sql STABLE
    AS $$
  select u.role
  from users u join tenants t on t.tenant_id = u.tenant_id
  where u.tenant_id = p_tenant and u.user_id = p_user and u.disabled_at is null and t.state = 'active'
$$;

-- Name: add_counts(jsonb, jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.add_counts(p_counts jsonb, p_more jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    RETURN (SELECT COALESCE(jsonb_object_agg(keys.k, (COALESCE(((add_counts.p_counts ->> keys.k))::bigint, (0)::bigint) + COALESCE(((add_counts.p_more ->> keys.k))::bigint, (0)::bigint))), '{}'::jsonb) AS "coalesce" FROM (SELECT jsonb_object_keys(add_counts.p_counts) AS jsonb_object_keys UNION SELECT jsonb_object_keys(add_counts.p_more) AS jsonb_object_keys) keys(k));

-- Name: add_fitting(bigint, bigint, bigint); Type: FUNCTION; Schema: public

CREATE FUNCTION public.add_fitting(p_used bigint, p_bytes bigint, p_room bigint) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ select case when p_bytes is null or p_used + p_bytes > p_room then p_used else p_used + p_bytes end $$;

-- Name: current_tenant(); Type: FUNCTION; Schema: public

CREATE FUNCTION public.current_tenant() RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ select nullif(current_setting('app.tenant_id', true), '') $$;

-- Name: session_key(text, text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.session_key(p_tenant text, p_session text) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN hashtextextended(((p_tenant || '/'::text) || p_session), (0)::bigint);

-- Name: events; Type: TABLE; Schema: public

CREATE TABLE public.events (
    tenant_id text NOT NULL,
    seq bigint NOT NULL,
    event_id text NOT NULL,
    session_id text NOT NULL,
    channel text NOT NULL,
    actor_type text NOT NULL,
    actor_id text NOT NULL,
    kind text NOT NULL,
    content jsonb NOT NULL,
    user_id text,
    agent_id text,
    project_id text,
    sensitivity text NOT NULL,
    tags text[] DEFAULT '{}'::text[] NOT NULL,
    refs text[] DEFAULT '{}'::text[] NOT NULL,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    artifact_id text,
    chunk_count smallint DEFAULT 0 NOT NULL,
    byte_count integer DEFAULT 0 NOT NULL,
    occurred_at timestamp with time zone NOT NULL,
    created_at timestamp with time zone NOT NULL,
    supersedes text GENERATED ALWAYS AS (
CASE
    WHEN (kind = 'decision'::text) THEN (content ->> 'supersedes'::text)
    ELSE NULL::text
END) STORED,
    erased_at timestamp with time zone,
    redactions integer,
    session_key bigint GENERATED ALWAYS AS (public.session_key(tenant_id, session_id)) STORED NOT NULL,
    carried_at timestamp with time zone,
    CONSTRAINT events__channel CHECK ((channel = ANY (ARRAY['private'::text, 'public'::text, 'team'::text, 'agent'::text]))),
    CONSTRAINT events__erased CHECK (((erased_at IS NULL) OR (((content = '{"erased": true, "retention": true}'::jsonb) OR (((content - 'erasure'::text) = '{"erased": true}'::jsonb) AND COALESCE(((content ->> 'erasure'::text) ~ '^erased_[0-9a-f]{32}$'::text), false))) AND (metadata = '{}'::jsonb) AND (tags = '{}'::text[]) AND (refs = '{}'::text[]) AND (artifact_id IS NULL) AND (chunk_count = 0)))),
    CONSTRAINT events__private_subject CHECK (((channel <> 'private'::text) OR (user_id IS NOT NULL))),
    CONSTRAINT events__redactions CHECK ((redactions > 0)),
    CONSTRAINT events__sensitivity CHECK ((sensitivity = ANY (ARRAY['none'::text, 'low'::text, 'high'::text, 'secret'::text])))
);

ALTER TABLE ONLY public.events FORCE ROW LEVEL SECURITY;

-- Name: adjacent_events(text, bigint); Type: FUNCTION; Schema: public

CREATE FUNCTION public.adjacent_events(p_session text, p_seq bigint) RETURNS TABLE(distance bigint, seq bigint)
    LANGUAGE sql STABLE
    BEGIN ATOMIC
( SELECT (- row_number() OVER (ORDER BY e.seq DESC)),
     e.seq
    FROM public.events e
   WHERE ((e.tenant_id = ( SELECT public.current_tenant() AS current_tenant)) AND (e.session_key = public.session_key(( SELECT public.current_tenant() AS current_tenant), adjacent_events.p_session)) AND (e.session_id = adjacent_events.p_session) AND (e.seq < adjacent_events.p_seq))
   ORDER BY e.seq DESC
  LIMIT 2)
 UNION ALL
 ( SELECT row_number() OVER (ORDER BY e.seq) AS row_number,
     e.seq
    FROM public.events e
   WHERE ((e.tenant_id = ( SELECT public.current_tenant() AS current_tenant)) AND (e.session_key = public.session_key(( SELECT public.current_tenant() AS current_tenant), adjacent_events.p_session)) AND (e.session_id = adjacent_events.p_session) AND (e.seq > adjacent_events.p_seq))
   ORDER BY e.seq
  LIMIT 2);
END;

-- Name: advance_job(text, text, bigint, bigint, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.advance_job(p_tenant text, p_job text, p_more bigint, p_total bigint, p_lease_ms integer) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
begin
  update jobs j
  set done = j.done + p_more, total = coalesce(p_total, j.total), updated_at = clock_timestamp(),
    due_at = clock_timestamp() + interval '1 millisecond' * p_lease_ms
  where j.tenant_id = p_tenant and j.job_id = p_job and j.state = 'running' and j.token = 0;
  return found;
end $$;

-- Name: amended_passages(text, bigint, jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.amended_passages(p_tenant text, p_seq bigint, p_base jsonb) RETURNS TABLE(ordinal smallint, doc jsonb, gap text)
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 WITH amendment AS MATERIALIZED (
          SELECT a.n,
             a.edit_id,
             a.op,
             a.ordinal,
             a.patch,
             a.passages
            FROM public.active_edits(amended_passages.p_tenant, amended_passages.p_seq) a(n, edit_id, op, ordinal, patch, passages)
           WHERE (a.op = 'amend'::text)
         ), whole AS (
          SELECT a.n,
             a.passages
            FROM amendment a
           WHERE (a.ordinal IS NULL)
           ORDER BY a.n DESC
          LIMIT 1
         ), said AS (
          SELECT c.doc,
             (c.place - 1) AS ordinal
            FROM jsonb_array_elements(COALESCE(( SELECT w.passages
                    FROM whole w), amended_passages.p_base)) WITH ORDINALITY c(doc, place)
         ), placed AS (
          SELECT (COALESCE((b.place - 1), s.ordinal))::smallint AS ordinal,
             s.doc
            FROM (jsonb_array_elements(amended_passages.p_base) WITH ORDINALITY b(doc, place)
              FULL JOIN said s ON ((s.ordinal = (b.place - 1))))
         )
  SELECT p.ordinal,
     COALESCE((own.passages -> 0), p.doc) AS "coalesce",
     "substring"((p.doc ->> 'text'::text), '\s*$'::text) AS "substring"
    FROM (placed p
      LEFT JOIN LATERAL ( SELECT a.passages
            FROM amendment a
           WHERE ((a.ordinal = p.ordinal) AND (a.n > COALESCE(( SELECT w.n
                    FROM whole w), (0)::bigint)))
           ORDER BY a.n DESC
          LIMIT 1) own ON ((p.doc IS NOT NULL)));
END;

-- Name: append_audit(text, bigint, bytea, jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.append_audit(p_tenant text, p_seq bigint, p_mac bytea, p_entries jsonb) RETURNS TABLE(appended boolean, last_seq bigint, last_mac bytea, last_at timestamp with time zone)
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_column
declare
  v_clock audit_clocks;
  v_last bytea := decode(p_entries -> -1 ->> 'mac', 'hex');
begin
  perform enter_tenant(p_tenant);
  if not exists (select from tenants t where t.tenant_id = p_tenant and t.state <> 'deleting') then
    return;
  end if;
  insert into audit_clocks as c (tenant_id) values (p_tenant) on conflict do nothing;
  select * into v_clock from audit_clocks c where c.tenant_id = p_tenant for update;
  appended := v_clock.last_seq = p_seq and v_clock.last_mac = p_mac;
  if appended then
    insert into audit_entries (tenant_id, seq, at, first_at, action, route, status, count, payload, salt, commitment, key_id, mac)
    select
      p_tenant, p_seq + e.place, r.at, r.first_at, r.action, r.route, r.status, r.count, r.payload, decode(r.salt, 'hex'), decode(r.commitment, 'hex'),
      r.key_id, decode(r.mac, 'hex')
    from jsonb_array_elements(p_entries) with ordinality as e (doc, place)
    cross join lateral jsonb_to_record(e.doc) as r (
      at timestamptz, first_at timestamptz, action text, route text, status smallint, count int, payload jsonb, salt text, commitment text, key_id text,
      mac text);
    update audit_clocks c
    set last_seq = p_seq + jsonb_array_length(p_entries), last_mac = v_last, last_at = (p_entries -> -1 ->> 'at')::timestamptz
    where c.tenant_id = p_tenant
    returning * into v_clock;
  elsif v_clock.last_seq > p_seq then
    appended := exists (
      select from audit_entries e
      where e.tenant_id = p_tenant and e.seq = p_seq + jsonb_array_length(p_entries) and e.mac = v_last);
  end if;
  return query select appended, v_clock.last_seq, v_clock.last_mac, v_clock.last_at;
end $$;

-- Name: append_erasure_event(text, text, jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.append_erasure_event(p_tenant text, p_job text, p_event jsonb) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
declare
  v_seq bigint;
begin
  perform enter_tenant(p_tenant);
  perform from tenant_clocks c where c.tenant_id = p_tenant for update;
  select e.seq into v_seq from events e where e.tenant_id = p_tenant and e.event_id = p_event ->> 'event_id';
  return coalesce(v_seq, say(p_tenant, p_event));
end $$;

-- Name: memories; Type: TABLE; Schema: public

CREATE TABLE public.memories (
    tenant_id text NOT NULL,
    memory_id text NOT NULL,
    kind text NOT NULL,
    scope text NOT NULL,
    scope_id text,
    status text NOT NULL,
    version integer NOT NULL,
    content_seq bigint NOT NULL,
    last_seq bigint NOT NULL,
    user_id text,
    agent_id text,
    session_id text,
    project_id text,
    channel text NOT NULL,
    sensitivity text NOT NULL,
    text_hash bytea NOT NULL,
    importance real NOT NULL,
    pinned boolean NOT NULL,
    repeats integer DEFAULT 0 NOT NULL,
    worn boolean GENERATED ALWAYS AS ((repeats >= 256)) STORED NOT NULL,
    tags text[] NOT NULL,
    valid_from timestamp with time zone,
    valid_to timestamp with time zone,
    expires_at timestamp with time zone,
    superseded_by text,
    task_status text,
    doing_agent text,
    marks text[] DEFAULT '{}'::text[] NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    CONSTRAINT memories__channel CHECK ((channel = ANY (ARRAY['private'::text, 'public'::text, 'team'::text, 'agent'::text]))),
    CONSTRAINT memories__kind CHECK ((kind = ANY (ARRAY['decision'::text, 'task'::text, 'fact'::text, 'preference'::text, 'rule'::text, 'note'::text, 'summary'::text, 'handoff'::text]))),
    CONSTRAINT memories__scope CHECK ((scope = ANY (ARRAY['policy'::text, 'project'::text, 'user'::text, 'session'::text, 'global'::text]))),
    CONSTRAINT memories__sensitivity CHECK ((sensitivity = ANY (ARRAY['none'::text, 'low'::text, 'high'::text, 'secret'::text]))),
    CONSTRAINT memories__status CHECK ((status = ANY (ARRAY['active'::text, 'proposed'::text, 'rejected'::text, 'superseded'::text, 'deleted'::text, 'expired'::text])))
);

ALTER TABLE ONLY public.memories FORCE ROW LEVEL SECURITY;

-- Name: applies_to(public.memories, jsonb, jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.applies_to(p_memory public.memories, p_scope jsonb, p_request jsonb) RETURNS boolean
    LANGUAGE sql STABLE
    AS $$ select case
  when p_memory.kind in ('rule', 'preference') then case p_memory.scope
    when 'project' then p_memory.project_id = p_request ->> 'project_id'
    when 'user' then p_request -> 'users' ? p_memory.user_id
    when 'session' then p_memory.session_id = p_request ->> 'session_id'
    else true end
  else not p_scope ? 'project_id' or p_memory.project_id = p_scope ->> 'project_id'
    or (p_memory.scope = 'policy' and p_memory.project_id is null) end $$;

-- Name: apply_edits(text, bigint); Type: FUNCTION; Schema: public

CREATE FUNCTION public.apply_edits(p_tenant text, p_seq bigint) RETURNS void
    LANGUAGE plpgsql
    AS $$
declare
  v_event events;
  v_base jsonb;
begin
  select * into v_event from events e where e.tenant_id = p_tenant and e.seq = p_seq;
  if not found then
    return;
  end if;
  v_base := passages_before_edits(p_tenant, p_seq);
  perform write_edited_passages(p_tenant, v_event, v_base);
  delete from overlays o where o.tenant_id = p_tenant and o.seq = p_seq;
  insert into overlays select o.* from overlay_of(p_tenant, v_event, v_base) o;
end $$;

-- Name: apply_effects(text, text[], public.effect[], public.prepared[], timestamp with time zone); Type: FUNCTION; Schema: public

CREATE FUNCTION public.apply_effects(p_tenant text, p_nouns text[], p_effects public.effect[], p_prepared public.prepared[], p_at timestamp with time zone) RETURNS public.answer[]
    LANGUAGE plpgsql
    AS $_$
declare
  v_noun text;
  v_effects effect[] := p_effects;
  v_prepared prepared[] := p_prepared;
  v_own answer[];
  v_all answer[];
begin
  foreach v_noun in array p_nouns loop
    if cardinality(p_nouns) > 1 then
      v_effects := array(select e from unnest(p_effects) e where e.noun = v_noun);
      v_prepared := array(select p from unnest(p_prepared) p where p.noun = v_noun);
    end if;
    -- none where all units of the noun are retries or refused
    continue when coalesce(cardinality(v_effects), 0) = 0;
    execute format('select %I($1, $2, $3, $4)', v_noun || '_apply') into v_own using p_tenant, v_effects, v_prepared, p_at;
    v_all := v_all || v_own;
  end loop;
  return v_all;
end $_$;

-- Name: apply_repeats(text, public.memory_effect[]); Type: FUNCTION; Schema: public

CREATE FUNCTION public.apply_repeats(p_tenant text, p_resolved public.memory_effect[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
declare
  v_repeat record;
begin
  -- nearly always: every event made a memory of its own
  if not exists (select from unnest(p_resolved) w where w.memory_id <> w.target_id) then
    return;
  end if;
  for v_repeat in
    select w as effect, was.content_seq, o.withheld, was.kind
    from unnest(p_resolved) w
    cross join lateral (
      select v.content_seq, m.kind
      from memory_versions v join memories m on m.tenant_id = v.tenant_id and m.memory_id = v.memory_id
      where v.tenant_id = p_tenant and v.memory_id = w.target_id and v.seq < w.seq
      order by v.version desc
      limit 1
    ) was
    cross join lateral (
      select coalesce(x.content ? 'withheld', false) as withheld
      from overlays x
      where x.tenant_id = p_tenant and x.seq = was.content_seq
      limit 1
    ) o
    -- a repetition that is only counted makes no version
    where w.memory_id <> w.target_id and w.nth <= w.version_count
    order by w.seq
  loop
    if v_repeat.kind = 'task' then
      perform carry_edits(p_tenant, v_repeat.content_seq, (v_repeat.effect).seq, array['quarantine', 'attenuate', 'block']);
    elsif v_repeat.withheld then
      perform replace_content(p_tenant, v_repeat.effect, v_repeat.content_seq);
    else
      perform carry_edits(p_tenant, v_repeat.content_seq, (v_repeat.effect).seq, array['retract', 'amend', 'quarantine', 'attenuate', 'block']);
    end if;
  end loop;
end $$;

-- Name: apply_reset(text, text, bytea, text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.apply_reset(p_tenant text, p_reset text, p_hash bytea, p_password_hash text) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
declare
  v_user text;
begin
  perform enter_tenant(p_tenant);
  select g.user_id into v_user from valid_reset(p_tenant, p_reset, p_hash) g;
  update password_resets r set used_at = now()
  where r.tenant_id = p_tenant and r.reset_id = p_reset and r.used_at is null and v_user is not null;
  if not found then
    return false;
  end if;
  update users u set password_hash = p_password_hash, generation = u.generation + 1 where u.tenant_id = p_tenant and u.user_id = v_user;
  update sessions s set revoked_at = now() where s.tenant_id = p_tenant and s.user_id = v_user and s.revoked_at is null;
  delete from password_resets r where r.tenant_id = p_tenant and r.user_id = v_user and r.reset_id <> p_reset;
  return true;
end $$;

-- Name: apply_task_updates(text, text[], bigint); Type: FUNCTION; Schema: public

CREATE FUNCTION public.apply_task_updates(p_tenant text, p_memory_ids text[], p_from bigint) RETURNS void
    LANGUAGE plpgsql
    AS $$
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

-- Name: artifacts_apply(text, public.effect[], public.prepared[], timestamp with time zone); Type: FUNCTION; Schema: public

CREATE FUNCTION public.artifacts_apply(p_tenant text, p_effects public.effect[], p_prepared public.prepared[], p_at timestamp with time zone) RETURNS public.answer[]
    LANGUAGE plpgsql
    AS $$
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

-- Name: artifacts_check(text, bigint, bigint); Type: FUNCTION; Schema: public

CREATE FUNCTION public.artifacts_check(p_tenant text, p_from bigint, p_to bigint) RETURNS SETOF public.finding
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
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

-- Name: artifacts_check_rows(text, text, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.artifacts_check_rows(p_tenant text, p_after text, p_limit integer) RETURNS TABLE(name text, checked bigint, wrong bigint, sample jsonb, vital boolean, last text)
    LANGUAGE sql STABLE
    AS $$
  select 'unlinked_artifacts', 1::bigint, (u.n > 0)::int::bigint, case when u.n > 0 then jsonb_build_array(jsonb_build_object('found', u.n)) else '[]' end, false, null
  from (
    select count(*) as n from artifacts a where a.tenant_id = p_tenant and a.event_id is null and a.created_at < now() - interval '2 days'
  ) u
$$;

-- Name: artifacts_clear(text, bigint[], boolean); Type: FUNCTION; Schema: public

CREATE FUNCTION public.artifacts_clear(p_tenant text, p_seqs bigint[], p_dry boolean) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
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

-- Name: artifacts_missing(text, text[], text, boolean); Type: FUNCTION; Schema: public

CREATE FUNCTION public.artifacts_missing(p_tenant text, p_ids text[], p_oldest_id text, p_forgotten boolean) RETURNS TABLE(id text, gone boolean)
    LANGUAGE sql STABLE
    AS $$
  select i.id, p_forgotten
  from unnest(p_ids) i (id)
  -- `limit` forces a look-up per id
  left join lateral (
    select a.event_id from artifacts a where a.tenant_id = p_tenant and a.artifact_id = i.id and a.event_id is not null limit 1
  ) a on true
  where a.event_id is null
$$;

-- Name: artifacts_repair(text, bigint, bigint); Type: FUNCTION; Schema: public

CREATE FUNCTION public.artifacts_repair(p_tenant text, p_from bigint, p_to bigint) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
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

-- Name: artifacts_stored(text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.artifacts_stored(p_tenant text) RETURNS bigint
    LANGUAGE sql STABLE
    AS $$ select coalesce(sum(a.byte_count), 0)::bigint from artifacts a where a.tenant_id = p_tenant and a.event_id is not null $$;

-- Name: assign_doing_agents(text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.assign_doing_agents(p_tenant text) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
  update memories m set doing_agent = null where m.tenant_id = p_tenant and m.doing_agent is not null;
  if exists (select from tenants t where t.tenant_id = p_tenant and (t.settings ->> 'one_doing_per_agent')::boolean) then
    update memories m set doing_agent = m.agent_id
    from (
      select distinct on (t.agent_id, case when t.channel = 'private' then t.user_id else '' end) t.memory_id
      from memories t
      where t.tenant_id = p_tenant and t.kind = 'task' and t.status = 'active' and t.task_status = 'doing' and t.agent_id is not null
        and (t.expires_at is null or t.expires_at > clock_timestamp())
        and not exists (
          select from overlays o where o.tenant_id = p_tenant and o.seq = t.content_seq and is_quarantined(o.blocked_in))
      order by t.agent_id, case when t.channel = 'private' then t.user_id else '' end, t.last_seq desc
    ) newest
    where m.tenant_id = p_tenant and m.memory_id = newest.memory_id;
  end if;
end $$;

-- Name: place_key(text, text, text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.place_key(p_tenant text, p_kind text, p_value text) RETURNS uuid
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (md5(((((p_tenant || '/'::text) || p_kind) || '/'::text) || p_value)))::uuid;

-- Name: audience_keys(jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.audience_keys(p_scope jsonb) RETURNS uuid[]
    LANGUAGE sql STABLE
    RETURN CASE WHEN (((p_scope -> 'channels'::text) ? 'private'::text) AND ((p_scope -> 'subjects'::text) = 'null'::jsonb)) THEN NULL::uuid[] ELSE ARRAY(SELECT public.place_key(public.current_tenant(), 'audience'::text, c.value) AS place_key FROM jsonb_array_elements_text((audience_keys.p_scope -> 'channels'::text)) c(value) WHERE (c.value <> 'private'::text) UNION ALL SELECT public.place_key(public.current_tenant(), 'audience'::text, ('private/'::text || u.value)) AS place_key FROM jsonb_array_elements_text(CASE WHEN ((audience_keys.p_scope -> 'channels'::text) ? 'private'::text) THEN (audience_keys.p_scope -> 'subjects'::text) ELSE '[]'::jsonb END) u(value)) END;

-- Name: audience_rank(text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.audience_rank(p_channel text) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN array_position(ARRAY['private'::text, 'team'::text, 'agent'::text, 'public'::text], p_channel);

-- Name: audit_mentions(text, jsonb, text, text, text[]); Type: FUNCTION; Schema: public

CREATE FUNCTION public.audit_mentions(p_tenant text, p_payload jsonb, p_kind text, p_subject text, p_users text[]) RETURNS boolean
    LANGUAGE sql STABLE
    RETURN CASE p_kind WHEN 'user_id'::text THEN (((p_payload ->> 'user_id'::text) = ANY (p_users)) OR ((p_payload ->> 'principal_id'::text) = ANY (p_users)) OR ((p_payload ->> 'claimed'::text) = ANY (p_users)) OR jsonb_path_exists((p_payload -> 'about'::text), '$.**?(@ == $"u"[*])'::jsonpath, jsonb_build_object('u', p_users)) OR ((NOT (EXISTS (SELECT FROM public.users u WHERE ((u.tenant_id = audit_mentions.p_tenant) AND (u.user_id = ANY (ARRAY[audit_mentions.p_subject, (audit_mentions.p_payload ->> 'user_id'::text)])))))) AND ((p_payload ->> 'username'::text) = p_subject)) OR ((NOT (EXISTS (SELECT FROM public.users u WHERE ((u.tenant_id = audit_mentions.p_tenant) AND (u.user_id = audit_mentions.p_subject))))) AND jsonb_path_exists((p_payload -> 'about'::text), '$.**?(((@."user_id" == $"s" || @."username" == $"s") || @."subject" == $"s") || @."user_ids"[*] == $"s")'::jsonpath, jsonb_build_object('s', p_subject)))) WHEN 'agent_id'::text THEN jsonb_path_exists((p_payload -> 'about'::text), '$.**?(@."agent_id" == $"s")'::jsonpath, jsonb_build_object('s', p_subject)) ELSE false END;

-- Name: auth_revoke(text, text, jsonb, text, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.auth_revoke(p_tenant text, p_job text, p_erasure jsonb, p_after text, p_limit integer) RETURNS TABLE(last text, counts jsonb)
    LANGUAGE plpgsql
    AS $$
declare
  v_subject text := p_erasure ->> 'subject';
  v_name text := p_erasure ->> 'name';
  v_before timestamptz := (p_erasure ->> 'before')::timestamptz;
  v_users text[] := array(select jsonb_array_elements_text(p_erasure -> 'users'));
begin
  counts := case when p_erasure ->> 'kind' = 'user_id' then count_accounts(p_tenant, v_subject, v_users, v_before) else '{}' end;
  if p_erasure ->> 'kind' = 'user_id' and not p_erasure ? 'dry_run' then
    perform from users u where u.tenant_id = p_tenant and u.role = 'owner' and u.disabled_at is null order by u.user_id for update;
    if is_last_owner(p_tenant, v_users) then
      raise exception 'the user is the last owner; make another user an owner first' using errcode = 'AM409';
    end if;
    update invites i set used_by = v_name where i.tenant_id = p_tenant and i.used_by = any (v_users);
    update invites i set username = v_name where i.tenant_id = p_tenant and lower(i.username) = lower(v_subject);
    update password_resets r set created_by = v_name where r.tenant_id = p_tenant and r.created_by = any (v_users);
    delete from api_keys k where k.tenant_id = p_tenant and k.user_id = v_subject and k.created_at < v_before;
    delete from users u where u.tenant_id = p_tenant and u.user_id = any (v_users);
  end if;
  return next;
end $$;

-- Name: installation; Type: TABLE; Schema: public

CREATE TABLE public.installation (
    only_row boolean DEFAULT true NOT NULL,
    place text NOT NULL,
    restored text DEFAULT ''::text NOT NULL,
    confirmed_at timestamp with time zone DEFAULT now() NOT NULL,
    written text DEFAULT (pg_current_xact_id())::text NOT NULL,
    CONSTRAINT installation__only_row CHECK (only_row)
);

-- Name: await_replay(); Type: FUNCTION; Schema: public

CREATE FUNCTION public.await_replay() RETURNS void
    LANGUAGE sql
    BEGIN ATOMIC
 INSERT INTO public.installation (place)
   VALUES ('restored'::text) ON CONFLICT(only_row) DO UPDATE SET place = excluded.place;
END;

-- Name: begin_erasure(text, text, text, text, bigint, timestamp with time zone, boolean); Type: FUNCTION; Schema: public

CREATE FUNCTION public.begin_erasure(p_tenant text, p_job text, p_kind text, p_subject text, p_upto bigint, p_before timestamp with time zone, p_keep_shared boolean DEFAULT false) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
declare
  v_last bigint;
  v_words text[] := array[p_subject];
begin
  perform enter_tenant(p_tenant);
  if not exists (select from tenants t where t.tenant_id = p_tenant) then
    raise exception 'no such tenant' using errcode = 'AM404';
  end if;
  if p_kind = 'user_id' then
    perform mark_ids(p_tenant, p_job, 'user', array(select a.user_id from accounts_of(p_tenant, p_subject, p_before) a));
    v_words := v_words || array(select unnest(a.words) from accounts_of(p_tenant, p_subject, p_before) a);
    if is_last_owner(p_tenant, marked_accounts(p_tenant, p_job)) then
      raise exception 'the user is the last owner; make another user an owner first' using errcode = 'AM409';
    end if;
  end if;
  if p_keep_shared then
    perform mark_ids(p_tenant, p_job, 'name', array_remove(v_words, ''));
  end if;
  select c.last_seq into v_last from tenant_clocks c where c.tenant_id = p_tenant;
  return least(v_last, p_upto);
end $$;

-- Name: begin_import(text, text, text, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.begin_import(p_tenant text, p_import text, p_by text, p_lease_ms integer) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
declare
  v_clock tenant_clocks;
begin
  perform enter_tenant(p_tenant);
  select * into v_clock from tenant_clocks c where c.tenant_id = p_tenant for update;
  if not found then
    raise exception 'no such tenant' using errcode = 'AM404';
  end if;
  if v_clock.importing is not null then
    raise exception 'another import into the tenant is running' using errcode = 'AM409';
  end if;
  if v_clock.last_seq > 0 or not is_empty_tenant(p_tenant) then
    raise exception 'the tenant is not empty' using errcode = 'AM409';
  end if;
  perform start_job(p_tenant, p_import, 'import', '{"receiving": true}', p_by, 1000, null, null);
  perform hold_job(p_tenant, p_import, p_lease_ms);
  perform mark_import(p_tenant, p_import);
  return v_clock.max_bytes;
end $$;

-- Name: begin_login(text, text, bytea, bytea, integer, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.begin_login(p_tenant text, p_username text, p_account bytea, p_address bytea, p_free_account integer, p_free_address integer) RETURNS TABLE(wait_s integer, user_id text, username text, password_hash text)
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_column
declare
  v_wait numeric;
begin
  perform enter_tenant(p_tenant);
  select extract(epoch from max(f.blocked_until) - clock_timestamp()) into v_wait
  from login_failures f where f.key_hash in (p_account, p_address);
  if coalesce(v_wait, 0) <= 0 and count_failure(p_account, p_free_account) and count_failure(p_address, p_free_address) then
    return query
    select 0, u.user_id, u.username, u.password_hash
    from (select 1) as always
    left join users u on u.tenant_id = p_tenant and lower(u.username) = lower(p_username) and u.disabled_at is null
      and exists (select from tenants t where t.tenant_id = p_tenant and t.state = 'active');
  else
    return query select greatest(1, ceil(coalesce(v_wait, 1)))::int, null::text, null::text, null::text;
  end if;
  -- The sweep: every attempt adds two rows at most and takes away up to eight that are over. After counting, which locks the
  -- account's row and then the address's: a sweep that held the address's already would meet another attempt halfway.
  delete from login_failures where key_hash in (
    select key_hash from login_failures where expires_at < clock_timestamp() limit 8 for update skip locked);
end $$;

-- Name: chunk_rebuilds; Type: TABLE; Schema: public

CREATE TABLE public.chunk_rebuilds (
    tenant_id text NOT NULL,
    rebuilt_to bigint DEFAULT 0 NOT NULL
);

ALTER TABLE ONLY public.chunk_rebuilds FORCE ROW LEVEL SECURITY;

-- Name: begin_rebuild(text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.begin_rebuild(p_tenant text) RETURNS void
    LANGUAGE sql
    BEGIN ATOMIC
 INSERT INTO public.chunk_rebuilds (tenant_id)
   VALUES (begin_rebuild.p_tenant) ON CONFLICT(tenant_id) DO UPDATE SET rebuilt_to = 0;
END;

-- Name: belongs_to_subject(public.events, text, text, text[]); Type: FUNCTION; Schema: public

CREATE FUNCTION public.belongs_to_subject(p_event public.events, p_kind text, p_subject text, p_users text[]) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    AS $$ select case p_kind
  when 'user_id' then p_event.user_id = p_subject or (p_event.actor_type = 'human' and p_event.actor_id = any (p_subject || p_users))
  when 'session_id' then p_event.session_id = p_subject
  when 'project_id' then p_event.project_id = p_subject
  else p_event.agent_id = p_subject or (p_event.actor_type = 'agent' and p_event.actor_id = p_subject) end $$;

-- Name: best_passages_query(); Type: FUNCTION; Schema: public

CREATE FUNCTION public.best_passages_query() RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '
  matched as materialized (
    select c.seq, c.ordinal, c.session_id, c.kind, c.weight, {mask} as mask
    from chunks c
    where {anywhere} and {in_scope}
    union
    select c.seq, c.ordinal, c.session_id, c.kind, c.weight, {mask}
    from chunks c
    where {lately} and {in_scope}
  ),
  ranked as (
    select *, ({score}) * coalesce(weight, 1) as score
    from matched
    order by score desc, seq desc, ordinal
    limit 1600
  ),
  best as materialized (
    select r.*, v.memory_id, v.kind as memory_kind
    from ranked r
    left join lateral (
      select v.memory_id, m.kind, m.status
      from memory_versions v join memories m on m.tenant_id = v.tenant_id and m.memory_id = v.memory_id
      where (r.kind in (''decision'', ''task_update'') or r.kind like ''memory.%'')
        and v.tenant_id = (select current_tenant()) and v.seq = r.seq and v.status <> ''superseded''
      limit 1 offset 0
    ) v on true
    where v.status is null or v.status not in (''proposed'', ''rejected'')
  ) '::text;

-- Name: blank_audit(text, bigint[]); Type: FUNCTION; Schema: public

CREATE FUNCTION public.blank_audit(p_tenant text, p_seqs bigint[]) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
declare
  v_count int;
begin
  update public.audit_entries e set payload = null, salt = null
  where e.tenant_id = p_tenant and e.tenant_id = public.current_tenant() and e.seq = any (p_seqs)
    and e.action not in ('audit.erased', 'erasure.begun');
  get diagnostics v_count = row_count;
  return v_count;
end $$;

ALTER FUNCTION public.blank_audit(p_tenant text, p_seqs bigint[]) OWNER TO agent_memory_audit_eraser;

-- Name: blank_events(bigint[], jsonb, text, text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.blank_events(p_seqs bigint[], p_content jsonb, p_subject text, p_name text) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
declare
  v_count bigint;
begin
  update public.events e
  set content = p_content, metadata = '{}', tags = '{}', refs = '{}', artifact_id = null, chunk_count = 0,
    byte_count = pg_column_size(p_content), erased_at = coalesce(e.erased_at, clock_timestamp()),
    session_id = case
      when strpos(e.session_id, p_subject) > 0 or e.user_id = p_subject or (e.actor_type = 'human' and e.actor_id = p_subject) then p_name
      else e.session_id end,
    user_id = case when strpos(e.user_id, p_subject) > 0 then p_name else e.user_id end,
    agent_id = case when strpos(e.agent_id, p_subject) > 0 then p_name else e.agent_id end,
    project_id = case when strpos(e.project_id, p_subject) > 0 then p_name else e.project_id end,
    actor_id = case when strpos(e.actor_id, p_subject) > 0 or e.actor_id ~ '^usr_' then coalesce(p_name, e.actor_id) else e.actor_id end
  where e.tenant_id = (select public.current_tenant()) and e.seq = any (p_seqs);
  get diagnostics v_count = row_count;
  if v_count <> cardinality(p_seqs) then
    raise exception '% of % events could be blanked', v_count, cardinality(p_seqs);
  end if;
  return v_count;
end $$;

ALTER FUNCTION public.blank_events(p_seqs bigint[], p_content jsonb, p_subject text, p_name text) OWNER TO agent_memory_blanker;

-- Name: blank_marked(text, text, text, integer, jsonb, text, text, boolean); Type: FUNCTION; Schema: public

CREATE FUNCTION public.blank_marked(p_tenant text, p_job text, p_after text, p_limit integer, p_content jsonb, p_subject text, p_name text, p_dry boolean DEFAULT false) RETURNS TABLE(last text, counts jsonb)
    LANGUAGE plpgsql
    AS $$
declare
  v_seqs bigint[];
  v_bytes bigint;
begin
  if not p_dry then
    perform from tenant_clocks c where c.tenant_id = p_tenant for update;
  end if;
  select n.last, n.seqs into last, v_seqs from next_marked(p_tenant, p_job, p_after, p_limit) n;
  counts := clear_events(p_tenant, v_seqs, p_dry);
  if not p_dry and last is not null then
    select coalesce(sum(
      octet_length(e.content::text) + octet_length(e.metadata::text) + 2 * octet_length(e.refs::text) + 2 * octet_length(e.tags::text)), 0)
    into v_bytes
    from unnest(v_seqs) s (seq)
    cross join lateral (select * from events x where x.tenant_id = p_tenant and x.seq = s.seq offset 0) e;
    perform blank_events(v_seqs, p_content, p_subject, p_name);
    perform shrink_log(p_tenant, greatest(0, v_bytes + (counts ->> 'bytes')::bigint - cardinality(v_seqs) * octet_length(p_content::text)));
  end if;
  counts := (counts - 'bytes') || jsonb_build_object('events', coalesce(cardinality(v_seqs), 0));
  return next;
end $$;

-- Name: every_channel(); Type: FUNCTION; Schema: public

CREATE FUNCTION public.every_channel() RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ARRAY['agent'::text, 'private'::text, 'public'::text, 'team'::text];

-- Name: blocked_by(text, jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.blocked_by(p_op text, p_patch jsonb) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE p_op WHEN 'block'::text THEN ARRAY[(p_patch ->> 'channel'::text)] WHEN 'quarantine'::text THEN public.every_channel() ELSE NULL::text[] END;

-- Name: capsules_clear(text, bigint[], boolean); Type: FUNCTION; Schema: public

CREATE FUNCTION public.capsules_clear(p_tenant text, p_seqs bigint[], p_dry boolean) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
declare
  v_count bigint := (select count(*) from capsules c where c.tenant_id = p_tenant and c.seq = any (p_seqs));
begin
  if not p_dry then
    delete from capsules c where c.tenant_id = p_tenant and c.seq = any (p_seqs);
  end if;
  return jsonb_build_object('capsules', v_count);
end $$;

-- Name: capsules_forget(text, text, jsonb, text, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.capsules_forget(p_tenant text, p_job text, p_erasure jsonb, p_after text, p_limit integer) RETURNS TABLE(last text, counts jsonb)
    LANGUAGE plpgsql
    AS $$
declare
  v_kind text := p_erasure ->> 'kind';
  v_subject text := p_erasure ->> 'subject';
  v_made text[] := array(
    select c.capsule_id
    from capsules c
    where c.tenant_id = p_tenant and not is_event_marked(p_tenant, p_job, c.seq)
      and case v_kind when 'user_id' then c.user_id when 'agent_id' then c.agent_id when 'project_id' then c.project_id end = v_subject);
  v_named text[] := array(
    select c.capsule_id
    from capsules c
    where c.tenant_id = p_tenant and not c.capsule_id = any (v_made) and not is_event_marked(p_tenant, p_job, c.seq)
      and case v_kind when 'user_id' then v_subject = any (c.audience_users || c.audience_agents) when 'agent_id' then v_subject = any (c.audience_agents) end);
begin
  if not p_erasure ? 'dry_run' then
    delete from capsules c where c.tenant_id = p_tenant and c.capsule_id = any (v_made);
    update capsules c
    set
      audience_users = case when v_kind = 'user_id' then array_remove(c.audience_users, v_subject) else c.audience_users end,
      audience_agents = array_remove(c.audience_agents, v_subject)
    where c.tenant_id = p_tenant and c.capsule_id = any (v_named);
  end if;
  counts := jsonb_build_object('capsules', cardinality(v_made), 'capsule_audiences', cardinality(v_named));
  return next;
end $$;

-- Name: capsules_needs(text, text, bigint, bigint, bigint, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.capsules_needs(p_tenant text, p_job text, p_upto bigint, p_new bigint, p_after bigint, p_limit integer) RETURNS bigint
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
declare
  v_seqs bigint[] := array(select c.seq from capsules c where c.tenant_id = p_tenant and c.seq > p_after order by c.seq limit p_limit);
begin
  perform mark_needed_memories(p_tenant, p_job, array(
    select distinct m.memory_id
    from unnest(v_seqs) s (seq)
    join capsules c on c.tenant_id = p_tenant and c.seq = s.seq
    join memories m on m.tenant_id = p_tenant and m.memory_id = any (c.items) and m.status in ('active', 'superseded')
    where c.revoked_at is null and c.expires_at > now()), p_upto);
  perform mark_carried(p_tenant, p_job, array(
    select e.seq
    from unnest(v_seqs) s (seq)
    join capsules c on c.tenant_id = p_tenant and c.seq = s.seq
    cross join lateral (
      select c.seq
      union all
      select (n.event).seq from events_of_refs(p_tenant, c.items) n
    ) e
    where c.revoked_at is null and c.expires_at > now()), p_upto);
  return v_seqs[cardinality(v_seqs)];
end $$;

-- Name: carried_range(text, bigint, bigint, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.carried_range(p_tenant text, p_after bigint, p_first bigint, p_limit integer) RETURNS TABLE(from_seq bigint, to_seq bigint, events bigint)
    LANGUAGE plpgsql
    AS $$
begin
  perform enter_tenant(p_tenant);
  return query
  select min(s.seq), max(s.seq), count(*)
  from (select e.seq from events e where e.tenant_id = p_tenant and e.seq > p_after and e.seq < p_first order by e.seq limit p_limit) s
  having count(*) > 0;
end $$;

-- Name: carry_edits(text, bigint, bigint, text[]); Type: FUNCTION; Schema: public

CREATE FUNCTION public.carry_edits(p_tenant text, p_from bigint, p_to bigint, p_ops text[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
  insert into edit_events (tenant_id, seq, edit_id)
  select p_tenant, p_to, d.edit_id
  from edit_events x join edits d on d.tenant_id = x.tenant_id and d.edit_id = x.edit_id
  where x.tenant_id = p_tenant and x.seq = p_from and d.status = 'approved' and d.op = any (p_ops)
  on conflict do nothing;
  if found then
    -- a revert has to undo them all at once, as an approval does them
    if exists (
      select from edit_events x
      cross join lateral (select count(*) as n from (select from edit_events k where k.tenant_id = p_tenant and k.edit_id = x.edit_id limit 1001) k) held
      where x.tenant_id = p_tenant and x.seq = p_to and held.n > 1000) then
      raise exception 'an edit applies to 1000 events of this memory; an admin must revert it first' using errcode = 'AM409';
    end if;
    perform apply_edits(p_tenant, p_to);
  end if;
end $$;

-- Name: carry_events(bigint[]); Type: FUNCTION; Schema: public

CREATE FUNCTION public.carry_events(p_seqs bigint[]) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
  update public.events e set carried_at = clock_timestamp()
  where e.tenant_id = (select public.current_tenant()) and e.seq = any (p_seqs) and e.carried_at is null
$$;

ALTER FUNCTION public.carry_events(p_seqs bigint[]) OWNER TO agent_memory_blanker;

-- Name: carry_hiding(text, bigint, bigint); Type: FUNCTION; Schema: public

CREATE FUNCTION public.carry_hiding(p_tenant text, p_from bigint, p_to bigint) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
  if exists (
    select from edit_events x join edits d on d.tenant_id = x.tenant_id and d.edit_id = x.edit_id
    where x.tenant_id = p_tenant and x.seq = p_from and d.status = 'approved' and d.ordinal is not null
      and d.op in ('retract', 'quarantine', 'block')) then
    raise exception 'an edit hides a part of the memory; an admin must replace the text or revert the edit' using errcode = 'AM409';
  end if;
  perform carry_edits(p_tenant, p_from, p_to, array['retract', 'quarantine', 'attenuate', 'block']);
end $$;

-- Name: check_log(text, bigint, bigint); Type: FUNCTION; Schema: public

CREATE FUNCTION public.check_log(p_tenant text, p_from bigint, p_to bigint) RETURNS TABLE(noun text, name text, checked bigint, wrong bigint, sample jsonb, vital boolean)
    LANGUAGE plpgsql
    AS $_$
declare
  v_noun text;
begin
  perform enter_tenant(p_tenant);
  for v_noun in select * from hooks('check') loop
    return query execute format('select $4, f.* from %I($1, $2, $3) f', v_noun || '_check') using p_tenant, p_from, p_to, v_noun;
  end loop;
  return query select 'events', f.* from check_refs(p_tenant, p_from, p_to) f;
end $_$;

-- Name: check_refs(text, bigint, bigint); Type: FUNCTION; Schema: public

CREATE FUNCTION public.check_refs(p_tenant text, p_from bigint, p_to bigint) RETURNS SETOF public.finding
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
declare
  v_pattern text := (
    select format('^(%s)_[0-9a-z]{26}', string_agg(n.id_prefix, '|')) from hooks('missing') h (noun) join nouns n on n.noun = h.noun);
begin
  return query
  with cited as materialized (
    select e.seq, r.ref
    from events e cross join lateral unnest(e.refs) r (ref)
    where e.tenant_id = p_tenant and e.seq between p_from and p_to and r.ref ~ v_pattern
  ),
  missing as materialized (
    select m.id, m.gone from missing_ids(p_tenant, array(select distinct c.ref from cited c)) m
  )
  select
    case when m.gone then 'refs_gone' else 'refs' end, count(*), count(*) filter (where not m.gone),
    sample_of(jsonb_build_object('seq', c.seq, 'ref', c.ref) order by c.seq) filter (where not m.gone), false
  from cited c left join missing m on m.id = c.ref
  group by 1;
end $$;

-- Name: check_rows(text, text, text, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.check_rows(p_tenant text, p_noun text, p_after text, p_limit integer) RETURNS TABLE(name text, checked bigint, wrong bigint, sample jsonb, vital boolean, last text)
    LANGUAGE plpgsql
    AS $_$
begin
  perform enter_tenant(p_tenant);
  return query execute format('select name, checked, wrong, sample, vital, last from %I($1, $2, $3)', p_noun || '_check_rows') using p_tenant, p_after, p_limit;
end $_$;

-- Name: chunk_condition(jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.chunk_condition(p_scope jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN array_to_string(ARRAY['c.tenant_id || '''' = (select current_tenant()) and c.seq + 0 <= ($1 ->> ''as_of_seq'')::bigint'::text, 'visible(
    c.channel, c.user_id, c.sensitivity, array(select jsonb_array_elements_text($1 -> ''channels'')),
    case when $1 -> ''subjects'' = ''null'' then null else array(select jsonb_array_elements_text($1 -> ''subjects'')) end,
    array(select jsonb_array_elements_text($1 -> ''sensitivities'')))'::text, 'is_shown_in(c.blocked_in, $1 ->> ''channel'')'::text, CASE WHEN (p_scope ? 'session_id'::text) THEN 'c.session_id = $1 ->> ''session_id'''::text ELSE NULL::text END, CASE WHEN (p_scope ? 'user_id'::text) THEN 'c.user_id = $1 ->> ''user_id'''::text ELSE NULL::text END, CASE WHEN (p_scope ? 'agent_id'::text) THEN 'c.agent_id = $1 ->> ''agent_id'''::text ELSE NULL::text END, CASE WHEN (p_scope ? 'project_id'::text) THEN 'c.project_id = $1 ->> ''project_id'''::text ELSE NULL::text END, CASE WHEN (p_scope ? 'as_of'::text) THEN 'c.occurred_at <= ($1 ->> ''as_of'')::timestamptz'::text ELSE NULL::text END, '(c.valid is null or c.valid @> coalesce(($1 ->> ''as_of'')::timestamptz, now()))'::text, CASE WHEN ((p_scope ->> 'history'::text))::boolean THEN NULL::text WHEN (p_scope ? 'as_of'::text) THEN '(c.until_seq is null or c.until_seq > ($1 ->> ''as_of_seq'')::bigint or c.until_at > ($1 ->> ''as_of'')::timestamptz)'::text ELSE '(c.until_seq is null or c.until_seq > ($1 ->> ''as_of_seq'')::bigint)'::text END, CASE WHEN (NOT COALESCE(((p_scope ->> 'deleted'::text))::boolean, false)) THEN '(c.until_seq is null or not is_of_deleted_memory(c.tenant_id, c.seq))'::text ELSE NULL::text END, CASE WHEN (p_scope ? 'filter'::text) THEN '(
    select event_matches(
      e, $1 -> ''filter'',
      exists (select from overlays o where o.tenant_id = c.tenant_id and o.seq = c.seq and not is_shown_in(o.blocked_in, $1 ->> ''channel'')),
      $1 ->> ''channel'')
    from events e
    where e.tenant_id = c.tenant_id and e.seq = c.seq)'::text ELSE NULL::text END], ' and '::text);

-- Name: chunk_places(text, bigint, text, text, text, text, text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.chunk_places(p_tenant text, p_seq bigint, p_session text, p_channel text, p_user text, p_agent text, p_project text) RETURNS uuid[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN array_remove(ARRAY[public.place_key(p_tenant, 'tenant'::text, ''::text), public.place_key(p_tenant, 'epoch'::text, ((p_seq / 16384))::text), public.place_key(p_tenant, 'session'::text, p_session), public.place_key(p_tenant, 'audience'::text, CASE WHEN (p_channel = 'private'::text) THEN ('private/'::text || p_user) ELSE p_channel END), public.place_key(p_tenant, 'user'::text, p_user), public.place_key(p_tenant, 'agent'::text, p_agent), public.place_key(p_tenant, 'project'::text, p_project)], NULL::uuid);

-- Name: memory_of(text, text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.memory_of(p_tenant text, p_ref text) RETURNS text
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
declare
  v_seq bigint;
begin
  if p_ref ~ '^(evt|chk)_' then
    select e.seq into v_seq
    from events e
    where e.tenant_id = p_tenant and e.event_id = event_of(p_ref);
    return (
      select v.memory_id from memory_versions v where v.tenant_id = p_tenant and v.seq = v_seq and v.status || '' <> 'superseded' limit 1);
  end if;
  return (select m.memory_id from memories m where m.tenant_id = p_tenant and m.memory_id = p_ref);
end $$;

-- Name: cited_memories(text, text[], bytea[]); Type: FUNCTION; Schema: public

CREATE FUNCTION public.cited_memories(p_tenant text, p_ids text[], p_hashes bytea[]) RETURNS TABLE(memory_id text)
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT m.memory_id
    FROM (unnest(cited_memories.p_ids) n(id)
      JOIN public.memories m ON (((m.tenant_id = cited_memories.p_tenant) AND (m.memory_id = public.memory_of(cited_memories.p_tenant, n.id)))))
 UNION
  SELECT m.memory_id
    FROM public.memories m
   WHERE ((m.tenant_id = cited_memories.p_tenant) AND (m.kind = 'decision'::text) AND (m.status = 'active'::text) AND (m.text_hash = ANY (cited_memories.p_hashes)));
END;

-- Name: claim_due_retention(text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.claim_due_retention(p_tenant text) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
declare
  v_policy retention_policies;
begin
  perform enter_tenant(p_tenant);
  update retention_policies p set last_run_at = clock_timestamp()
  where p.tenant_id = p_tenant and coalesce(p.last_run_at < clock_timestamp() - interval '1 day', true)
    -- not what has only half come
    and not is_importing()
  returning * into v_policy;
  return case when v_policy.tenant_id is not null then jsonb_build_object('rules', v_policy.rules, 'trim', v_policy.trim) end;
end $$;

-- Name: claim_fields(text, jsonb, public.memories, jsonb, timestamp with time zone); Type: FUNCTION; Schema: public

CREATE FUNCTION public.claim_fields(p_tenant text, p_scope jsonb, p_memory public.memories, p_details jsonb, p_at timestamp with time zone) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
declare
  v_said timestamptz;
begin
  if is_act(p_memory.kind) and p_memory.kind <> 'preference' then
    return '{}';
  end if;
  select max(s.occurred_at) into v_said
  from (
    select c.place, event_of(c.ref) as event_id
    from jsonb_array_elements_text(p_details -> 'refs') with ordinality c (ref, place)
    offset 0
  ) r
  cross join lateral (
    select e.seq
    from events e
    where e.tenant_id = p_tenant and e.kind not like 'memory.%' and e.event_id = r.event_id
    limit 1
  ) cited
  cross join lateral (select x.occurred_at from seen_events(p_tenant, p_scope) x where x.seq = cited.seq limit 1) s
  where r.place <= 32 and is_readable_time(s.occurred_at);
  return jsonb_strip_nulls(jsonb_build_object(
    'stated_at', epoch_ms(coalesce(v_said, p_at)),
    'effective_from', coalesce(epoch_ms(p_memory.valid_from), epoch_ms(coalesce(v_said, p_at))),
    'claim_scope', jsonb_build_array(
      p_memory.scope,
      case p_memory.scope when 'project' then p_memory.project_id when 'session' then p_memory.session_id end,
      p_memory.channel, p_memory.user_id)::text));
end $$;

-- Name: clear_events(text, bigint[], boolean); Type: FUNCTION; Schema: public

CREATE FUNCTION public.clear_events(p_tenant text, p_seqs bigint[], p_dry boolean) RETURNS jsonb
    LANGUAGE plpgsql
    AS $_$
declare
  v_noun text;
  v_counts jsonb := '{}';
  v_more jsonb;
begin
  for v_noun in select * from hooks('clear') loop
    execute format('select %I($1, $2, $3)', v_noun || '_clear') into v_more using p_tenant, p_seqs, p_dry;
    v_counts := add_counts(v_counts, v_more);
  end loop;
  return v_counts;
end $_$;

-- Name: clear_failures(bytea, bytea, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.clear_failures(p_account bytea, p_address bytea, p_free_address integer) RETURNS void
    LANGUAGE sql
    AS $$
  delete from login_failures where key_hash = p_account;
  update login_failures set
    failures = greatest(failures - 1, 0),
    blocked_until = case when failures - 1 >= p_free_address then blocked_until end
  where key_hash = p_address;
$$;

-- Name: clear_late(text, text, text, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.clear_late(p_tenant text, p_job text, p_after text, p_limit integer) RETURNS TABLE(last text, counts jsonb)
    LANGUAGE plpgsql
    AS $$
declare
  v_seqs bigint[];
begin
  perform from tenant_clocks c where c.tenant_id = p_tenant for update;
  select n.last, n.seqs into last, v_seqs from next_marked(p_tenant, p_job, p_after, p_limit) n;
  counts := clear_events(p_tenant, v_seqs, false) - 'bytes';
  return next;
end $$;

-- Name: close_memory(text, text, integer, text[], text, jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.close_memory(p_tenant text, p_memory_id text, p_version integer, p_statuses text[], p_status text, p_unit jsonb) RETURNS public.unit_outcome
    LANGUAGE plpgsql
    AS $$
declare
  v_new boolean := lock_memory(p_tenant, p_memory_id, p_version, p_statuses, p_unit);
  v_done unit_outcome;
  v_seq bigint;
begin
  v_done := commit_unit(p_tenant, p_unit);
  if v_new and v_done.status = 'new' then
    v_seq := (v_done.outcome ->> 'seq')::bigint;
    update memories m
    set status = p_status, version = m.version + 1, last_seq = v_seq, doing_agent = null, superseded_by = null, updated_at = v_done.at
    where m.tenant_id = p_tenant and m.memory_id = p_memory_id;
    insert into memory_versions (tenant_id, memory_id, version, seq, content_seq, status)
    select p_tenant, p_memory_id, m.version, v_seq, m.content_seq, p_status
    from memories m
    where m.tenant_id = p_tenant and m.memory_id = p_memory_id;
    perform end_passages(p_tenant, p_memory_id, v_seq, e.occurred_at) from events e where e.tenant_id = p_tenant and e.seq = v_seq;
  end if;
  return v_done;
end $$;

-- Name: commit_unit(text, jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.commit_unit(p_tenant text, p_unit jsonb) RETURNS public.unit_outcome
    LANGUAGE plpgsql
    AS $$
declare
  v_outcome unit_outcome;
begin
  select * into v_outcome from commit_units(p_tenant, jsonb_build_array(p_unit));
  return v_outcome;
end $$;

-- Name: commit_units(text, jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.commit_units(p_tenant text, p_units jsonb) RETURNS SETOF public.unit_outcome
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
declare
  v_asked timestamptz := clock_timestamp();
  -- of the commit: taken under the lock, so that it grows with seq
  v_now timestamptz;
  v_nouns text[] := nouns_in(p_units);
  v_noun text;
  v_prepared prepared[];
  v_clock tenant_clocks;
  v_verdicts verdict[];
  v_effects effect[];
begin
  perform enter_tenant(p_tenant);
  v_prepared := prepare_effects(p_tenant, v_nouns, p_units, v_asked);
  select * into v_clock from tenant_clocks c where c.tenant_id = p_tenant for update;
  if not found then
    raise exception 'no such tenant' using errcode = 'AM404';
  end if;
  v_now := clock_timestamp();
  v_verdicts := judge_units(p_tenant, p_units, v_clock);
  foreach v_noun in array v_nouns loop
    continue when to_regproc(v_noun || '_judge') is null;
    select j.units, j.verdicts into p_units, v_verdicts from judge_effects(p_tenant, v_noun, v_now, v_clock, p_units, v_verdicts) j;
  end loop;
  v_effects := write_units(p_tenant, v_nouns, p_units, v_verdicts, v_asked, v_now);
  return query
  select * from remember_units(p_tenant, v_verdicts, apply_effects(p_tenant, v_nouns, v_effects, v_prepared, v_now), v_now);
end $$;

-- Name: memory_versions; Type: TABLE; Schema: public

CREATE TABLE public.memory_versions (
    tenant_id text NOT NULL,
    memory_id text NOT NULL,
    version integer NOT NULL,
    seq bigint NOT NULL,
    content_seq bigint NOT NULL,
    status text NOT NULL
);

ALTER TABLE ONLY public.memory_versions FORCE ROW LEVEL SECURITY;

-- Name: version_ends(text, text, bigint); Type: FUNCTION; Schema: public

CREATE FUNCTION public.version_ends(p_tenant text, p_memory_id text, p_from bigint) RETURNS TABLE(seq bigint, status text, until_seq bigint)
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT t.seq,
     t.status,
     min(
         CASE
             WHEN t.is_turn THEN t.seq
             ELSE NULL::bigint
         END) OVER (ORDER BY t.version DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS min
    FROM ( SELECT v.version,
             v.seq,
             v.status,
             ((v.status <> ALL (ARRAY['active'::text, 'proposed'::text])) OR (v.content_seq IS DISTINCT FROM lag(v.content_seq) OVER (ORDER BY v.version))) AS is_turn
            FROM public.memory_versions v
           WHERE ((v.tenant_id = version_ends.p_tenant) AND (v.memory_id = version_ends.p_memory_id) AND (v.seq >= version_ends.p_from))) t;
END;

-- Name: passage_ends(text, bigint, bigint); Type: FUNCTION; Schema: public

CREATE FUNCTION public.passage_ends(p_tenant text, p_from bigint, p_to bigint) RETURNS TABLE(seq bigint, until_seq bigint, until_at timestamp with time zone)
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT d.seq,
     d.until_seq,
     e.occurred_at
    FROM ((( SELECT DISTINCT v.memory_id
            FROM public.memory_versions v
           WHERE ((v.tenant_id = passage_ends.p_tenant) AND ((v.seq >= passage_ends.p_from) AND (v.seq <= passage_ends.p_to)))) touched
      CROSS JOIN LATERAL public.version_ends(passage_ends.p_tenant, touched.memory_id, passage_ends.p_from) d(seq, status, until_seq))
      LEFT JOIN public.events e ON (((e.tenant_id = passage_ends.p_tenant) AND (e.seq = d.until_seq))))
   WHERE (((d.seq >= passage_ends.p_from) AND (d.seq <= passage_ends.p_to)) AND (d.until_seq IS NOT NULL) AND (d.status = ANY (ARRAY['active'::text, 'proposed'::text])));
END;

-- Name: chunks; Type: TABLE; Schema: public

CREATE TABLE public.chunks (
    seq bigint NOT NULL,
    occurred_at timestamp with time zone NOT NULL,
    token_count integer NOT NULL,
    ordinal smallint NOT NULL,
    tenant_id text NOT NULL,
    kind text NOT NULL,
    session_id text NOT NULL,
    channel text NOT NULL,
    sensitivity text NOT NULL,
    user_id text,
    agent_id text,
    project_id text,
    header text NOT NULL,
    text text,
    terms integer[] NOT NULL,
    until_seq bigint,
    until_at timestamp with time zone,
    valid tstzrange,
    weight real,
    blocked_in text[]
)
WITH (toast_tuple_target='8160');

ALTER TABLE ONLY public.chunks FORCE ROW LEVEL SECURITY;

-- Name: compare_passage_ends(text, bigint, bigint); Type: FUNCTION; Schema: public

CREATE FUNCTION public.compare_passage_ends(p_tenant text, p_from bigint, p_to bigint) RETURNS TABLE(seq bigint, ordinal smallint, until_seq bigint, expected bigint, expected_at timestamp with time zone)
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT o.seq,
     o.ordinal,
     o.until_seq,
     o.expected,
     o.expected_at
    FROM ( SELECT s.seq,
             s.ordinal,
             s.until_seq,
             max(s.expected) OVER (PARTITION BY s.seq) AS expected,
             max(s.expected_at) OVER (PARTITION BY s.seq) AS expected_at
            FROM ( SELECT c.seq,
                     c.ordinal,
                     c.until_seq,
                     NULL::bigint AS expected,
                     NULL::timestamp with time zone AS expected_at
                    FROM public.chunks c
                   WHERE ((c.tenant_id = compare_passage_ends.p_tenant) AND ((c.seq >= compare_passage_ends.p_from) AND (c.seq <= compare_passage_ends.p_to)))
                 UNION ALL
                  SELECT x.seq,
                     NULL::smallint,
                     NULL::bigint,
                     x.until_seq,
                     x.until_at
                    FROM public.passage_ends(compare_passage_ends.p_tenant, compare_passage_ends.p_from, compare_passage_ends.p_to) x(seq, until_seq, until_at)) s) o
   WHERE ((o.ordinal IS NOT NULL) AND ((o.until_seq IS NOT NULL) OR (o.expected IS NOT NULL)));
END;

-- Name: tenants; Type: TABLE; Schema: public

CREATE TABLE public.tenants (
    tenant_id text NOT NULL,
    state text DEFAULT 'active'::text NOT NULL,
    language regconfig DEFAULT 'english'::regconfig NOT NULL,
    settings jsonb DEFAULT '{}'::jsonb NOT NULL,
    version bigint DEFAULT 1 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    deleting_since timestamp with time zone,
    CONSTRAINT tenants__state CHECK ((state = ANY (ARRAY['active'::text, 'suspended'::text, 'deleting'::text]))),
    CONSTRAINT tenants__tenant_id CHECK ((tenant_id ~ '^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$'::text))
);

ALTER TABLE ONLY public.tenants FORCE ROW LEVEL SECURITY;

-- Name: configure_tenant(text, regconfig, jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.configure_tenant(p_tenant text, p_language regconfig, p_settings jsonb) RETURNS void
    LANGUAGE sql
    BEGIN ATOMIC
 UPDATE public.tenants AS t SET language = configure_tenant.p_language, settings = configure_tenant.p_settings, version = (t.version + 1)
   WHERE (t.tenant_id = configure_tenant.p_tenant);
END;

-- Name: this_place(); Type: FUNCTION; Schema: public

CREATE FUNCTION public.this_place() RETURNS text
    LANGUAGE plpgsql STABLE
    AS $$
declare
  v_database oid := (select d.oid from pg_database d where d.datname = current_database());
begin
  return format('%s/%s', (select c.system_identifier from pg_control_system() c), v_database);
exception when insufficient_privilege then
  return format('-/%s', v_database);
end $$;

-- Name: this_restore(); Type: FUNCTION; Schema: public

CREATE FUNCTION public.this_restore() RETURNS text
    LANGUAGE sql STABLE
    RETURN COALESCE(current_setting('agent_memory.restored'::text, true), ''::text);

-- Name: confirm_restore(); Type: FUNCTION; Schema: public

CREATE FUNCTION public.confirm_restore() RETURNS void
    LANGUAGE sql
    BEGIN ATOMIC
 INSERT INTO public.installation (place, restored)
   VALUES (public.this_place(), public.this_restore()) ON CONFLICT(only_row) DO UPDATE SET place = excluded.place, restored = excluded.restored, written = excluded.written, confirmed_at = clock_timestamp();
END;

-- Name: context_event(text, jsonb, bigint, regconfig, text, bigint, public.memories); Type: FUNCTION; Schema: public

CREATE FUNCTION public.context_event(p_tenant text, p_scope jsonb, p_last bigint, p_language regconfig, p_part text, p_seq bigint, p_memory public.memories) RETURNS TABLE(seq bigint, event_id text, kind text, actor_id text, content jsonb, artifact_id text, superseded boolean, occurred_at timestamp with time zone, lexemes text[], memory jsonb)
    LANGUAGE sql STABLE
    AS $$
  select
    s.seq, s.event_id, s.kind, s.actor_id,
    case when p_part = 'paired' then event_excerpt(p_tenant, p_scope, s) else s.content end,
    s.artifact_id,
    p_part = 'superseded' or coalesce(
      p_part in ('decision', 'recent') and s.kind <> 'task_update' and k.until_seq <= p_last
        and (not p_scope ? 'as_of' or k.until_at <= (p_scope ->> 'as_of')::timestamptz), false),
    s.occurred_at,
    k.lexemes,
    case when p_memory.memory_id is not null then t.details || claim_fields(p_tenant, p_scope, p_memory, t.details, s.occurred_at) end
  from (
    select o.*
    from seen_events(p_tenant, p_scope) o
    where o.seq = p_seq
      and (p_scope -> 'filter' is null or p_part = 'rule' or p_memory.memory_id is null or memory_matches(p_memory, o, p_scope -> 'filter'))
    limit 1
  ) s
  left join lateral (
    select k.until_seq, k.until_at, k.blocked_in, tsvector_to_array(to_tsvector(p_language, coalesce(k.text, event_text(s.content)))) as lexemes
    from chunks k
    where k.tenant_id = p_tenant and k.seq = s.seq and k.ordinal = 0
    limit 1
  ) k on true
  left join lateral (
    select memory_details(
      p_tenant, p_memory, s.seq, case when s.kind like 'memory.%' then s.content end, s.actor_type, s.actor_id, p_last,
      (p_scope ->> 'as_of')::timestamptz) as details
    where p_memory.memory_id is not null
    -- evaluated once
    offset 0
  ) t on true
  where is_shown_in(k.blocked_in, p_scope ->> 'channel');
$$;

-- Name: select_memories(text, jsonb, jsonb, bigint, text[], integer[], text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.select_memories(p_tenant text, p_scope jsonb, p_request jsonb, p_last bigint, p_kinds text[], p_limits integer[], p_status text) RETURNS TABLE(memory public.memories, content_seq bigint)
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
begin
  if p_scope ? 'as_of' or exists (select from memory_versions v where v.tenant_id = p_tenant and v.seq > p_last) then
    return query select h.* from memories_as_of(p_tenant, p_scope, p_request, p_last, p_kinds, p_limits, p_status) h;
  else
    return query select h.* from current_memories(p_tenant, p_scope, p_request, p_last, p_kinds, p_limits, p_status) h;
  end if;
end $$;

-- Name: context_memories(text, jsonb, jsonb, bigint, bigint[], text[]); Type: FUNCTION; Schema: public

CREATE FUNCTION public.context_memories(p_tenant text, p_scope jsonb, p_request jsonb, p_last bigint, p_decisions bigint[], p_cited text[]) RETURNS TABLE(part text, seq bigint, memory public.memories)
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT
         CASE (h.memory).kind
             WHEN 'task'::text THEN 'task'::text
             WHEN 'decision'::text THEN 'decision'::text
             ELSE 'rule'::text
         END AS "case",
     h.content_seq,
     h.memory
    FROM public.select_memories(context_memories.p_tenant, context_memories.p_scope, context_memories.p_request, context_memories.p_last, ARRAY['task'::text, 'decision'::text, 'rule'::text, 'preference'::text], ARRAY[50, 40, 200, 200], 'active'::text) h(memory, content_seq)
 UNION ALL
  SELECT 'superseded'::text,
     h.content_seq,
     h.memory
    FROM public.select_memories(context_memories.p_tenant, context_memories.p_scope, context_memories.p_request, context_memories.p_last, ARRAY['decision'::text, 'fact'::text, 'preference'::text, 'rule'::text, 'note'::text, 'summary'::text], ARRAY[40, 10, 10, 10, 10, 10], 'superseded'::text) h(memory, content_seq)
 UNION ALL
  SELECT 'decision'::text,
     v.seq,
     m.*::public.memories AS m
    FROM (public.memory_versions v
      JOIN public.memories m ON (((m.tenant_id = v.tenant_id) AND (m.memory_id = v.memory_id))))
   WHERE ((v.tenant_id = context_memories.p_tenant) AND (v.seq = ANY (context_memories.p_decisions)) AND (v.status <> 'superseded'::text) AND (m.kind = 'decision'::text))
 UNION ALL
  SELECT
         CASE
             WHEN (m.kind = 'decision'::text) THEN 'decision'::text
             ELSE 'cited'::text
         END AS "case",
     m.content_seq,
     m.*::public.memories AS m
    FROM public.memories m
   WHERE ((m.tenant_id = context_memories.p_tenant) AND (m.memory_id = ANY (context_memories.p_cited)) AND (m.status = 'active'::text) AND (m.last_seq <= context_memories.p_last));
END;

-- Name: copy_chunk_edits(text, bigint, bigint); Type: FUNCTION; Schema: public

CREATE FUNCTION public.copy_chunk_edits(p_tenant text, p_from bigint, p_to bigint) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
  update chunks c set valid = o.valid, weight = o.weight, blocked_in = o.blocked_in
  from chunks o
  where o.tenant_id = p_tenant and o.seq = p_from and c.tenant_id = p_tenant and c.seq = p_to and c.ordinal = o.ordinal;
end $$;

-- Name: api_keys; Type: TABLE; Schema: public

CREATE TABLE public.api_keys (
    tenant_id text NOT NULL,
    key_id text NOT NULL,
    name text NOT NULL,
    secret_hash bytea NOT NULL,
    role text NOT NULL,
    scopes text[] NOT NULL,
    user_id text NOT NULL,
    agent_id text,
    channels text[],
    rate_max integer,
    rate_window_ms integer,
    created_by text NOT NULL,
    created_with text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone,
    revoked_at timestamp with time zone,
    used_at timestamp with time zone,
    CONSTRAINT api_keys__rate CHECK ((((rate_max IS NULL) = (rate_window_ms IS NULL)) AND (rate_max > 0) AND (rate_window_ms > 0))),
    CONSTRAINT api_keys__role CHECK ((public.role_rank(role) IS NOT NULL))
);

ALTER TABLE ONLY public.api_keys FORCE ROW LEVEL SECURITY;

-- Name: invites; Type: TABLE; Schema: public

CREATE TABLE public.invites (
    tenant_id text NOT NULL,
    invite_id text NOT NULL,
    secret_hash bytea NOT NULL,
    role text NOT NULL,
    username text,
    created_by text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    used_at timestamp with time zone,
    used_by text,
    CONSTRAINT invites__role CHECK ((public.role_rank(role) IS NOT NULL))
);

ALTER TABLE ONLY public.invites FORCE ROW LEVEL SECURITY;

-- Name: sessions; Type: TABLE; Schema: public

CREATE TABLE public.sessions (
    tenant_id text NOT NULL,
    session_id text NOT NULL,
    user_id text NOT NULL,
    user_agent text,
    address text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    used_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    revoked_at timestamp with time zone
);

ALTER TABLE ONLY public.sessions FORCE ROW LEVEL SECURITY;

-- Name: count_accounts(text, text, text[], timestamp with time zone); Type: FUNCTION; Schema: public

CREATE FUNCTION public.count_accounts(p_tenant text, p_subject text, p_users text[], p_before timestamp with time zone) RETURNS jsonb
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 WITH RECURSIVE key AS (
          SELECT k.key_id
            FROM public.api_keys k
           WHERE ((k.tenant_id = count_accounts.p_tenant) AND (((k.user_id = count_accounts.p_subject) AND (k.created_at < count_accounts.p_before)) OR (k.created_by = ANY (count_accounts.p_users))))
         UNION
          SELECT k.key_id
            FROM (public.api_keys k
              JOIN key ON (((k.tenant_id = count_accounts.p_tenant) AND (k.created_with = key.key_id))))
         )
  SELECT jsonb_build_object('users', cardinality(p_users), 'sessions', ( SELECT count(*) AS count
            FROM public.sessions s
           WHERE ((s.tenant_id = count_accounts.p_tenant) AND (s.user_id = ANY (count_accounts.p_users)))), 'api_keys', ( SELECT count(*) AS count
            FROM key), 'invites', ( SELECT count(*) AS count
            FROM public.invites i
           WHERE ((i.tenant_id = count_accounts.p_tenant) AND (i.created_by = ANY (count_accounts.p_users))))) AS jsonb_build_object;
END;

-- Name: count_failure(bytea, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.count_failure(p_key bytea, p_free integer) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
begin
  insert into login_failures as f (key_hash, failures, blocked_until, expires_at)
  values (p_key, 1, null, clock_timestamp() + interval '15 minutes')
  on conflict (key_hash) do update set
    failures = case when f.expires_at <= clock_timestamp() then 1 else least(f.failures + 1, 1000) end,
    blocked_until = case
      when f.expires_at > clock_timestamp() and f.failures + 1 >= p_free
        then clock_timestamp() + interval '1 second' * least(60, 2 ^ least(f.failures + 1 - p_free, 6))
    end,
    expires_at = clock_timestamp() + interval '15 minutes'
  where f.blocked_until is null or f.blocked_until <= clock_timestamp();
  return found;
end $$;

-- Name: count_marked(text, text, text, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.count_marked(p_tenant text, p_job text, p_after text, p_limit integer) RETURNS TABLE(last_id text, kind text, events bigint, oldest timestamp with time zone, newest timestamp with time zone)
    LANGUAGE plpgsql STABLE
    AS $$
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
  select
    (select max(p.id) from page p), e.kind, count(*),
    min(e.created_at) filter (where is_readable_time(e.created_at)), max(e.created_at) filter (where is_readable_time(e.created_at))
  from page p join events e on e.tenant_id = p_tenant and e.seq = p.seq
  group by e.kind;
end $$;

-- Name: count_only_event(jsonb, text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.count_only_event(p_event jsonb, p_memory_id text) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ((jsonb_set((p_event #- '{effects,passages}'::text[]), '{effects,memories,counted}'::text[], 'true'::jsonb) || '{"chunk_count": 0}'::jsonb) || CASE WHEN ((p_event ->> 'kind'::text) = 'memory.created'::text) THEN jsonb_build_object('content', (((p_event -> 'content'::text) - '{text,body,sealed}'::text[]) || jsonb_build_object('memory_id', p_memory_id, 'repeated', true))) ELSE '{}'::jsonb END);

-- Name: count_only_unit(jsonb, jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.count_only_unit(p_unit jsonb, p_ids jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (SELECT (count_only_unit.p_unit || jsonb_build_object('events', h.events, 'bytes', GREATEST((0)::bigint, ((((count_only_unit.p_unit ->> 'bytes'::text))::bigint - octet_length(((count_only_unit.p_unit -> 'events'::text))::text)) + octet_length((h.events)::text))))) FROM (SELECT jsonb_agg(CASE WHEN (count_only_unit.p_ids ? (e.ord)::text) THEN public.count_only_event(e.doc, (count_only_unit.p_ids ->> (e.ord)::text)) ELSE e.doc END ORDER BY e.ord) AS events FROM jsonb_array_elements((count_only_unit.p_unit -> 'events'::text)) WITH ORDINALITY e(doc, ord)) h);

-- Name: create_capsule(text, jsonb, jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.create_capsule(p_tenant text, p_unit jsonb, p_capsule jsonb) RETURNS public.unit_outcome
    LANGUAGE plpgsql
    AS $$
declare
  v_done unit_outcome;
begin
  v_done := commit_unit(p_tenant, p_unit);
  if v_done.status = 'new' then
    if (select count(*) from (
      select from capsules c where c.tenant_id = p_tenant and c.revoked_at is null and c.expires_at > v_done.at limit 10000) live) >= 10000 then
      raise exception 'the tenant has too many capsules; revoke some first' using errcode = 'AM409';
    end if;
    insert into capsules (
      tenant_id, capsule_id, seq, user_id, agent_id, project_id, channel, tags, for_all, audience_users, audience_agents, items,
      item_channels, item_sensitivities, created_at, expires_at)
    select
      p_tenant, r.capsule_id, (v_done.outcome ->> 'seq')::bigint, r.user_id, r.agent_id, r.project_id, r.channel, r.tags, r.for_all,
      r.audience_users, r.audience_agents, r.items, r.item_channels, r.item_sensitivities, v_done.at, r.expires_at
    from jsonb_to_record(p_capsule) as r (
      capsule_id text, user_id text, agent_id text, project_id text, channel text, tags text[], for_all boolean, audience_users text[],
      audience_agents text[], items text[], item_channels text[], item_sensitivities text[], expires_at timestamptz);
  end if;
  return v_done;
end $$;

-- Name: current_memories(text, jsonb, jsonb, bigint, text[], integer[], text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.current_memories(p_tenant text, p_scope jsonb, p_request jsonb, p_last bigint, p_kinds text[], p_limits integer[], p_status text) RETURNS TABLE(memory public.memories, content_seq bigint)
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    AS $$
begin
  return query
  select u, u.content_seq
  from memories_unchanged_since(p_tenant, p_scope, p_request, p_last, p_kinds, p_limits, p_status) u
  where is_valid_at(u, now());
end $$;

-- Name: decide_edit(text, jsonb, text, text, jsonb, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.decide_edit(p_tenant text, p_unit jsonb, p_edit_id text, p_status text, p_by jsonb, p_version integer) RETURNS public.unit_outcome
    LANGUAGE plpgsql
    AS $$
declare
  v_done unit_outcome;
  v_edit edits;
begin
  perform enter_tenant(p_tenant);
  perform from tenant_clocks c where c.tenant_id = p_tenant for update;
  v_done := commit_unit(p_tenant, p_unit);
  if v_done.status = 'new' then
    select * into v_edit from edits d where d.tenant_id = p_tenant and d.edit_id = p_edit_id;
    if not found then
      raise exception 'there is no edit with this id' using errcode = 'AM404';
    end if;
    if v_edit.version <> p_version then
      raise exception 'the edit has version %', v_edit.version using errcode = 'AM412';
    end if;
    if v_edit.status <> (case p_status when 'reverted' then 'approved' else 'pending' end) then
      raise exception 'the edit is %', v_edit.status using errcode = 'AM409';
    end if;
    update edits d
    set
      status = p_status, version = d.version + 1, decided_by = p_by, last_seq = (v_done.outcome ->> 'seq')::bigint, updated_at = v_done.at,
      approved_seq = case when p_status = 'approved' then (v_done.outcome ->> 'seq')::bigint else d.approved_seq end
    where d.tenant_id = p_tenant and d.edit_id = p_edit_id
    returning * into v_edit;
    if p_status = 'approved' then
      perform enact_edit(p_tenant, v_edit);
    elsif p_status = 'reverted' then
      perform apply_edits(p_tenant, x.seq) from edit_events x where x.tenant_id = p_tenant and x.edit_id = p_edit_id;
    end if;
  end if;
  return v_done;
end $$;

-- Name: drop_events(bigint[]); Type: FUNCTION; Schema: public

CREATE FUNCTION public.drop_events(p_seqs bigint[]) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
declare
  v_count bigint;
begin
  delete from public.events e where e.tenant_id = (select public.current_tenant()) and e.seq = any (p_seqs);
  get diagnostics v_count = row_count;
  return v_count;
end $$;

ALTER FUNCTION public.drop_events(p_seqs bigint[]) OWNER TO agent_memory_blanker;

-- Name: drop_marks(text, text, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.drop_marks(p_tenant text, p_job text, p_limit integer) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
declare
  v_count bigint;
begin
  perform enter_tenant(p_tenant);
  delete from erasure_marks k where k.ctid = any (array(
    select m.ctid from erasure_marks m where m.tenant_id = p_tenant and m.job_id = p_job limit p_limit));
  get diagnostics v_count = row_count;
  return v_count;
end $$;

-- Name: drop_memories(text, text[]); Type: FUNCTION; Schema: public

CREATE FUNCTION public.drop_memories(p_tenant text, p_memory_ids text[]) RETURNS void
    LANGUAGE sql
    BEGIN ATOMIC
 DELETE FROM public.memory_versions AS v
   WHERE ((v.tenant_id = drop_memories.p_tenant) AND (v.memory_id = ANY (drop_memories.p_memory_ids)));
 UPDATE public.memories AS m SET superseded_by = NULL::text
   WHERE ((m.tenant_id = drop_memories.p_tenant) AND (m.superseded_by = ANY (drop_memories.p_memory_ids)));
 DELETE FROM public.memories AS m
   WHERE ((m.tenant_id = drop_memories.p_tenant) AND (m.memory_id = ANY (drop_memories.p_memory_ids)));
END;

-- Name: edited_content(text, jsonb, text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.edited_content(p_kind text, p_content jsonb, p_text text) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ((SELECT COALESCE(jsonb_object_agg(k.key, CASE WHEN (k.key = 'body'::text) THEN ((SELECT COALESCE(jsonb_object_agg(b.key, b.value) FILTER (WHERE (b.key = ANY (ARRAY['task_id'::text, 'status'::text, 'subject'::text, 'unit'::text, 'contradicts'::text, 'priority'::text, 'to_agent'::text, 'refs'::text]))), '{}'::jsonb) AS "coalesce" FROM jsonb_each(k.value) b(key, value)) || CASE WHEN (k.value ? 'to_agent'::text) THEN jsonb_build_object('problem', edited_content.p_text) ELSE '{}'::jsonb END) ELSE k.value END), '{}'::jsonb) AS "coalesce" FROM jsonb_each(edited_content.p_content) k(key, value) WHERE CASE WHEN (edited_content.p_kind ~~ 'memory.%'::text) THEN ((k.key <> 'text'::text) AND ((k.key <> 'body'::text) OR (jsonb_typeof(k.value) = 'object'::text))) ELSE (k.key = ANY (ARRAY['tool'::text, 'path'::text, 'line_range'::text, 'scope'::text, 'supersedes'::text, 'task_id'::text, 'call_id'::text, 'status'::text])) END) || jsonb_build_object(CASE p_kind WHEN 'tool_result'::text THEN 'excerpt_text'::text WHEN 'decision'::text THEN 'decision'::text WHEN 'task_update'::text THEN 'title'::text ELSE 'text'::text END, p_text));

-- Name: weigh(real, jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.weigh(p_weight real, p_patch jsonb) RETURNS real
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN GREATEST((0)::real, LEAST((1)::real, COALESCE(((p_patch ->> 'importance'::text))::real, (p_weight + ((p_patch ->> 'importance_delta'::text))::real), p_weight)));

-- Name: weight_of(jsonb); Type: AGGREGATE; Schema: public

CREATE AGGREGATE public.weight_of(jsonb) (
    SFUNC = public.weigh,
    STYPE = real,
    INITCOND = '1'
);

-- Name: edited_passages(text, bigint, jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.edited_passages(p_tenant text, p_seq bigint, p_base jsonb) RETURNS TABLE(ordinal smallint, text text, header text, token_count integer, weight real, blocked_in text[], retracted boolean, apart boolean, gap text)
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 WITH effect AS (
          SELECT p.ordinal,
             p.doc,
             p.gap,
             ((p.doc IS NULL) OR COALESCE(bool_or((a.op = 'retract'::text)), false)) AS retracted,
             COALESCE(bool_or(((a.op = 'quarantine'::text) AND (a.ordinal IS NOT NULL))), false) AS apart,
             public.weight_of(a.patch ORDER BY a.n) FILTER (WHERE (a.op = 'attenuate'::text)) AS weight,
             array_agg(DISTINCT c.channel ORDER BY c.channel) FILTER (WHERE (c.channel IS NOT NULL)) AS blocked_in
            FROM ((public.amended_passages(edited_passages.p_tenant, edited_passages.p_seq, edited_passages.p_base) p(ordinal, doc, gap)
              LEFT JOIN public.active_edits(edited_passages.p_tenant, edited_passages.p_seq) a(n, edit_id, op, ordinal, patch, passages) ON (((a.ordinal IS NULL) OR (a.ordinal = p.ordinal))))
              LEFT JOIN LATERAL unnest(public.blocked_by(a.op, a.patch)) c(channel) ON (true))
           GROUP BY p.ordinal, p.doc, p.gap
         )
  SELECT e.ordinal,
         CASE
             WHEN e.retracted THEN ''::text
             ELSE (e.doc ->> 'text'::text)
         END AS "case",
         CASE
             WHEN e.retracted THEN ''::text
             ELSE (e.doc ->> 'header'::text)
         END AS "case",
         CASE
             WHEN e.retracted THEN 0
             ELSE ((e.doc ->> 'token_count'::text))::integer
         END AS "case",
     NULLIF(e.weight, (1)::double precision) AS "nullif",
         CASE
             WHEN e.retracted THEN public.every_channel()
             ELSE e.blocked_in
         END AS blocked_in,
     e.retracted,
     e.apart,
     e.gap
    FROM effect e;
END;

-- Name: edits_clear(text, bigint[], boolean); Type: FUNCTION; Schema: public

CREATE FUNCTION public.edits_clear(p_tenant text, p_seqs bigint[], p_dry boolean) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
declare
  v_count bigint := (select count(*) from edits d where d.tenant_id = p_tenant and d.seq = any (p_seqs));
begin
  if not p_dry then
    delete from overlays o where o.tenant_id = p_tenant and o.seq = any (p_seqs);
    delete from edit_events x where x.tenant_id = p_tenant and x.seq = any (p_seqs);
    delete from edits d where d.tenant_id = p_tenant and d.seq = any (p_seqs);
  end if;
  return jsonb_build_object('edits', v_count);
end $$;

-- Name: edits_forget(text, text, jsonb, text, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.edits_forget(p_tenant text, p_job text, p_erasure jsonb, p_after text, p_limit integer) RETURNS TABLE(last text, counts jsonb)
    LANGUAGE plpgsql
    AS $$
declare
  v_name text := p_erasure ->> 'name';
  v_names text[] := array(select p_erasure ->> 'subject' union all select jsonb_array_elements_text(p_erasure -> 'users'));
  v_type text := case p_erasure ->> 'kind' when 'user_id' then 'human' else 'agent' end;
  v_gone text[];
  v_named text[];
begin
  counts := '{}';
  if p_erasure ->> 'kind' in ('user_id', 'agent_id') then
    v_gone := array(
      select d.edit_id from edits d
      where d.tenant_id = p_tenant and d.status <> 'approved' and d.proposed_by ->> 'type' = v_type and d.proposed_by ->> 'id' = any (v_names)
        and not is_event_marked(p_tenant, p_job, d.seq));
    v_named := array(
      select d.edit_id from edits d
      where d.tenant_id = p_tenant and not d.edit_id = any (v_gone) and not is_event_marked(p_tenant, p_job, d.seq)
        and (d.proposed_by ->> 'id' = any (v_names) or d.decided_by ->> 'id' = any (v_names) or d.principal = any (v_names)));
    if not p_erasure ? 'dry_run' then
      delete from edits d where d.tenant_id = p_tenant and d.edit_id = any (v_gone);
      update edits d
      set
        reason = case when d.proposed_by ->> 'id' = any (v_names) then 'erased' else d.reason end,
        principal = case when d.principal = any (v_names) or d.proposed_by ->> 'id' = any (v_names) then v_name else d.principal end,
        proposed_by = case when d.proposed_by ->> 'id' = any (v_names) then d.proposed_by || jsonb_build_object('id', v_name) else d.proposed_by end,
        decided_by = case when d.decided_by ->> 'id' = any (v_names) then d.decided_by || jsonb_build_object('id', v_name) else d.decided_by end
      where d.tenant_id = p_tenant and d.edit_id = any (v_named);
    end if;
    counts := jsonb_build_object('edits', cardinality(v_gone), 'edits_named', cardinality(v_named));
  end if;
  return next;
end $$;

-- Name: edits_mark(text, text, jsonb, text, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.edits_mark(p_tenant text, p_job text, p_erasure jsonb, p_after text, p_limit integer) RETURNS TABLE(last text, counts jsonb)
    LANGUAGE plpgsql
    AS $$
declare
  v_seqs bigint[];
begin
  if (p_erasure ->> 'keep_shared')::boolean then
    select max(k.id), array_agg(k.seq) into last, v_seqs
    from (
      select k.id, k.seq from erasure_marks k
      where k.tenant_id = p_tenant and k.job_id = p_job and k.what in ('shared', 'kin') and k.id > p_after order by k.id limit p_limit) k;
    perform mark_seqs(p_tenant, p_job, 'kin', array(
      select e.seq
      from edits d
      join events said on said.tenant_id = p_tenant and said.seq = d.seq and said.kind not like 'edit.%'
      join events e on e.tenant_id = p_tenant and e.seq = any (array[d.proposed_seq, d.approved_seq, d.last_seq])
      where d.tenant_id = p_tenant and d.seq = any (v_seqs) and e.erased_at is null));
  end if;
  counts := '{}';
  return next;
end $$;

-- Name: edits_rebuilt(text, bigint, bigint); Type: FUNCTION; Schema: public

CREATE FUNCTION public.edits_rebuilt(p_tenant text, p_from bigint, p_to bigint) RETURNS void
    LANGUAGE plpgsql
    AS $$
declare
  v_seq bigint;
begin
  -- the rows that the rebuild has just made are what they are made from now
  delete from overlays o where o.tenant_id = p_tenant and o.seq between p_from and p_to;
  for v_seq in
    select distinct x.seq
    from edit_events x join edits d on d.tenant_id = x.tenant_id and d.edit_id = x.edit_id
    where x.tenant_id = p_tenant and x.seq between p_from and p_to and d.status = 'approved'
    order by x.seq
  loop
    perform apply_edits(p_tenant, v_seq);
  end loop;
end $$;

-- Name: overlays; Type: TABLE; Schema: public

CREATE TABLE public.overlays (
    tenant_id text NOT NULL,
    seq bigint NOT NULL,
    content jsonb,
    blocked_in text[],
    chunk_count smallint NOT NULL,
    weight real,
    edit_ids text[] NOT NULL,
    base jsonb NOT NULL
);

ALTER TABLE ONLY public.overlays FORCE ROW LEVEL SECURITY;

-- Name: edits_rename(text, bigint, jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.edits_rename(p_tenant text, p_seq bigint, p_parts jsonb) RETURNS void
    LANGUAGE sql
    BEGIN ATOMIC
 UPDATE public.overlays AS o SET content = NULLIF((edits_rename.p_parts #> '{overlay,content}'::text[]), 'null'::jsonb), base = (edits_rename.p_parts #> '{overlay,base}'::text[])
   WHERE ((o.tenant_id = edits_rename.p_tenant) AND (o.seq = edits_rename.p_seq));
 UPDATE public.edits AS d SET reason = (p.part ->> 1), patch = (p.part -> 2), passages = NULLIF((p.part -> 3), 'null'::jsonb), session_id =
         CASE
             WHEN (d.seq = edits_rename.p_seq) THEN f.session_id
             ELSE d.session_id
         END, user_id =
         CASE
             WHEN (d.seq = edits_rename.p_seq) THEN f.user_id
             ELSE d.user_id
         END, agent_id =
         CASE
             WHEN (d.seq = edits_rename.p_seq) THEN f.agent_id
             ELSE d.agent_id
         END, project_id =
         CASE
             WHEN (d.seq = edits_rename.p_seq) THEN f.project_id
             ELSE d.project_id
         END
    FROM jsonb_array_elements((edits_rename.p_parts -> 'edits'::text)) p(part),
     jsonb_to_record((edits_rename.p_parts -> 'fields'::text)) f(session_id text, user_id text, agent_id text, project_id text)
   WHERE ((d.tenant_id = edits_rename.p_tenant) AND (d.edit_id = (p.part ->> 0)));
END;

-- Name: edits_rewritten(text, bigint, bigint); Type: FUNCTION; Schema: public

CREATE FUNCTION public.edits_rewritten(p_tenant text, p_from bigint, p_to bigint) RETURNS SETOF bigint
    LANGUAGE sql STABLE
    AS $$ select o.seq from overlays o where o.tenant_id = p_tenant and o.seq between p_from and p_to $$;

-- Name: edits_stray(text, bigint, text, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.edits_stray(p_tenant text, p_first bigint, p_after text, p_limit integer) RETURNS TABLE(last text, fault text)
    LANGUAGE plpgsql STABLE
    AS $$
begin
  return query
  select
    max(d.edit_id),
    'The edit ' || min(d.edit_id) filter (where (d.seq >= p_first or d.there is not null) and d.event_id is distinct from d.there)
      || ' is about another event than stands at its seq.'
  from (
    select t.edit_id, t.seq, t.event_id, (select e.event_id from events e where e.tenant_id = p_tenant and e.seq = t.seq) as there
    from edits t
    where t.tenant_id = p_tenant and t.edit_id > p_after
    order by t.edit_id
    limit p_limit) d;
end $$;

-- Name: edits_words(public.events); Type: FUNCTION; Schema: public

CREATE FUNCTION public.edits_words(p_event public.events) RETURNS jsonb
    LANGUAGE sql STABLE
    AS $$
  select jsonb_build_object(
    'overlay', (
      select jsonb_build_object('content', o.content, 'base', o.base)
      from overlays o where o.tenant_id = p_event.tenant_id and o.seq = p_event.seq),
    'edits', coalesce((
      select jsonb_agg(jsonb_build_array(d.edit_id, d.reason, d.patch, d.passages) order by d.edit_id)
      from edits d
      where d.tenant_id = p_event.tenant_id and (d.seq = p_event.seq or d.edit_id in (
        select x.edit_id from edit_events x where x.tenant_id = p_event.tenant_id and x.seq = p_event.seq))), '[]'));
$$;

-- Name: effective_key_role(public.api_keys); Type: FUNCTION; Schema: public

CREATE FUNCTION public.effective_key_role(p_key public.api_keys) RETURNS text
    LANGUAGE sql STABLE
    AS $$
  select case when role_rank(r.role) < role_rank(p_key.role) then r.role else p_key.role end
  from (select active_role(p_key.tenant_id, p_key.created_by)) r (role)
  where r.role is not null and p_key.revoked_at is null and (p_key.expires_at is null or p_key.expires_at > now())
    and (role_rank(r.role) >= role_rank('admin')
      or exists (select from users u where u.tenant_id = p_key.tenant_id and u.user_id = p_key.created_by and u.subject = p_key.user_id))
$$;

-- Name: enact_edit(text, public.edits); Type: FUNCTION; Schema: public

CREATE FUNCTION public.enact_edit(p_tenant text, p_edit public.edits) RETURNS void
    LANGUAGE plpgsql
    AS $_$
declare
  v_noun text;
  v_seqs bigint[];
begin
  if (
    select count(*)
    from edits d
    where d.tenant_id = p_tenant and d.seq = p_edit.seq and d.status = 'approved' and d.edit_id <> p_edit.edit_id) >= 100 then
    raise exception 'the event already has 100 approved edits; revert some first' using errcode = 'AM409';
  end if;
  v_seqs := events_of_edit(p_tenant, p_edit);
  if cardinality(v_seqs) > 1000 then
    raise exception 'more than 1000 events record the text of this memory; edit them by their own ids' using errcode = 'AM409';
  end if;
  insert into edit_events (tenant_id, seq, edit_id)
  select p_tenant, s.seq, p_edit.edit_id from unnest(v_seqs) s (seq);
  perform apply_edits(p_tenant, s.seq) from unnest(v_seqs) s (seq);
  for v_noun in select * from hooks('edited') loop
    execute format('select %I($1, $2)', v_noun || '_edited') using p_tenant, p_edit;
  end loop;
end $_$;

-- Name: end_chunks(text, bigint[], bigint, timestamp with time zone); Type: FUNCTION; Schema: public

CREATE FUNCTION public.end_chunks(p_tenant text, p_seqs bigint[], p_until bigint, p_at timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    AS $$
begin
  update chunks c set until_seq = p_until, until_at = p_at
  where c.tenant_id = p_tenant and c.until_seq is null and c.seq = any (p_seqs);
end $$;

-- Name: end_memory(text, text, text, bigint); Type: FUNCTION; Schema: public

CREATE FUNCTION public.end_memory(p_tenant text, p_memory_id text, p_status text, p_seq bigint) RETURNS void
    LANGUAGE plpgsql
    AS $$
declare
  v_memory memories;
begin
  update memories m
  set status = p_status, version = m.version + 1, last_seq = p_seq, doing_agent = null, updated_at = clock_timestamp()
  where m.tenant_id = p_tenant and m.memory_id = p_memory_id and m.status = any (array['active', 'proposed'])
    and (m.expires_at is null or m.expires_at > clock_timestamp())
  returning * into v_memory;
  if not found then
    raise exception 'the memory is not active' using errcode = 'AM409';
  end if;
  insert into memory_versions (tenant_id, memory_id, version, seq, content_seq, status)
  values (p_tenant, p_memory_id, v_memory.version, p_seq, v_memory.content_seq, p_status);
  perform end_passages(p_tenant, p_memory_id, p_seq, e.occurred_at) from events e where e.tenant_id = p_tenant and e.seq = p_seq;
end $$;

-- Name: end_passages(text, text, bigint, timestamp with time zone, bigint); Type: FUNCTION; Schema: public

CREATE FUNCTION public.end_passages(p_tenant text, p_memory_id text, p_seq bigint, p_at timestamp with time zone, p_from bigint DEFAULT NULL::bigint) RETURNS void
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    AS $$
declare
  v_said int;
begin
  select said.version into v_said
  from (
    select w.content_seq
    from memory_versions w
    where w.tenant_id = p_tenant and w.memory_id = p_memory_id and w.seq + 0 < coalesce(p_from, p_seq)
    order by w.version desc
    limit 1
  ) stood
  join memory_versions said on said.tenant_id = p_tenant and said.seq = stood.content_seq and said.memory_id || '' = p_memory_id
  limit 1;
  perform end_chunks(p_tenant, array(
    select v.seq
    from memory_versions v
    where v.tenant_id = p_tenant and v.memory_id = p_memory_id and v.version >= coalesce(v_said, 0) and v.seq + 0 < p_seq
      and v.status || '' <> 'superseded'), p_seq, p_at);
end $$;

-- Name: end_session(text, text, bytea); Type: FUNCTION; Schema: public

CREATE FUNCTION public.end_session(p_tenant text, p_token text, p_hash bytea) RETURNS text
    LANGUAGE plpgsql
    AS $$
declare
  v_session text;
begin
  perform enter_tenant(p_tenant);
  update sessions s set revoked_at = now()
  from refresh_tokens r
  where r.tenant_id = p_tenant and r.token_id = p_token and r.secret_hash = p_hash
    and s.tenant_id = p_tenant and s.session_id = r.session_id and s.revoked_at is null
  returning s.session_id into v_session;
  return v_session;
end $$;

-- Name: enter_tenant(text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.enter_tenant(p_tenant text) RETURNS text
    LANGUAGE plpgsql
    AS $$
declare
  v_role text := set_config('role', 'agent_memory_app', true);
begin
  if current_setting('TimeZone') <> 'UTC' then
    perform set_config('TimeZone', 'UTC', true);
  end if;
  if current_setting('DateStyle') not like 'ISO%' then
    perform set_config('DateStyle', 'ISO', true);
  end if;
  return set_config('app.tenant_id', p_tenant, true);
end $$;

-- Name: is_readable_time(timestamp with time zone); Type: FUNCTION; Schema: public

CREATE FUNCTION public.is_readable_time(p_at timestamp with time zone) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ((p_at >= '0001-01-01 00:00:00+00'::timestamp with time zone) AND (p_at <= '9999-12-31 23:59:59.999999+00'::timestamp with time zone));

-- Name: epoch_ms(timestamp with time zone); Type: FUNCTION; Schema: public

CREATE FUNCTION public.epoch_ms(p_at timestamp with time zone) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN public.is_readable_time(p_at) THEN (EXTRACT(epoch FROM p_at) * (1000)::numeric) ELSE NULL::numeric END;

-- Name: erase_rows(integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.erase_rows(p_ms integer) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $_$
declare
  v_end timestamptz := clock_timestamp() + interval '1 millisecond' * p_ms;
  v_tenant text := current_tenant();
  v_table record;
  v_count bigint;
begin
  for v_table in
    select
      c.oid::regclass as name,
      case when exists (select from pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attstorage = 'e') then 4 else 500 end as batch
    from pg_catalog.pg_policy p join pg_catalog.pg_class c on c.oid = p.polrelid
    where p.polname = 'eraser_deletes' and c.relname <> 'tenants'
    order by c.relname <> 'tenant_clocks', c.relname
  loop
    loop
      if clock_timestamp() > v_end then
        return true;
      end if;
      execute format('delete from %s where ctid = any (array(select ctid from %1$s where tenant_id = $1 limit $2))', v_table.name)
      using v_tenant, v_table.batch;
      get diagnostics v_count = row_count;
      exit when v_count < v_table.batch;
    end loop;
  end loop;
  return false;
end $_$;

ALTER FUNCTION public.erase_rows(p_ms integer) OWNER TO agent_memory_eraser;

-- Name: erase_step(text, text, integer, integer, integer, jsonb, jsonb, text[]); Type: FUNCTION; Schema: public

CREATE FUNCTION public.erase_step(p_tenant text, p_job text, p_token integer, p_lease_ms integer, p_limit integer, p_cursor jsonb, p_input jsonb, p_ids text[]) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
declare
  v_dry boolean := p_input ? 'dry_run';
  v_phases text[] := case when v_dry then '{find,mark,blank,cite,forget,accounts,over}' else '{accounts,find,mark,blank,cite,forget,late,over}' end;
  v_phase text := p_cursor ->> 'phase';
  v_after text := p_cursor ->> 'after';
  v_erasure jsonb;
  v_step record;
  v_counts jsonb;
  v_found bigint;
  v_total bigint;
begin
  perform enter_tenant(p_tenant);
  if not report_job(p_tenant, p_job, p_token, null, null, null, p_lease_ms) then
    return null;
  end if;
  v_erasure := p_input || jsonb_build_object('upto', p_cursor -> 'upto', 'users', marked_accounts(p_tenant, p_job), 'event_ids', p_ids);
  case v_phase
    when 'accounts' then select * into v_step from run_noun_step('revoke', p_tenant, p_job, v_erasure, v_after, p_limit);
    when 'find' then select * into v_step from mark_subject_events(p_tenant, p_job, v_erasure, v_after, p_limit);
    when 'mark' then select * into v_step from run_noun_step('mark', p_tenant, p_job, v_erasure, v_after, p_limit);
    when 'blank' then
      select * into v_step from blank_marked(p_tenant, p_job, v_after, p_limit,
        jsonb_build_object('erased', true, 'erasure', p_input -> 'name'), p_input ->> 'subject', p_input ->> 'name', v_dry);
    when 'cite' then select * into v_step from rename_citations(p_tenant, p_job, v_erasure, v_after, p_limit);
    when 'forget' then select * into v_step from run_noun_step('forget', p_tenant, p_job, v_erasure, v_after, p_limit);
    when 'late' then select * into v_step from clear_late(p_tenant, p_job, v_after, p_limit);
  end case;
  v_found := coalesce((p_cursor ->> 'found')::bigint, 0) + coalesce((v_step.counts ->> 'found')::bigint, 0);
  if v_step.last is null then
    -- what was just found may have dependents
    v_phase := case when v_phase = 'mark' and v_found > 0 then 'mark' else v_phases[array_position(v_phases, v_phase) + 1] end;
    v_found := 0;
    if v_phase = 'blank' then
      select count(*) into v_total from erasure_marks k where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'event';
    end if;
  end if;
  v_counts := add_counts(coalesce(p_cursor -> 'counts', '{}'), v_step.counts - 'found');
  p_cursor := p_cursor || jsonb_build_object('phase', v_phase, 'after', coalesce(v_step.last, ''), 'found', v_found, 'counts', v_counts);
  perform report_job(p_tenant, p_job, p_token, coalesce((v_counts ->> 'events')::bigint, 0), v_total, p_cursor, p_lease_ms);
  return p_cursor;
end $$;

-- Name: erase_tenant(text, integer, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.erase_tenant(p_tenant text, p_ms integer, p_keep_name_s integer) RETURNS text
    LANGUAGE plpgsql
    AS $$
begin
  perform enter_tenant(p_tenant);
  if not exists (select from tenants t where t.tenant_id = p_tenant) then
    return 'gone';
  elsif erase_rows(p_ms) then
    return 'more';
  end if;
  return case when erase_tenant_row(p_keep_name_s) then 'gone' else 'empty' end;
end $$;

-- Name: erase_tenant_row(integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.erase_tenant_row(p_after_s integer) RETURNS boolean
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
  with gone as (
    delete from public.tenants
    where tenant_id = current_tenant() and state = 'deleting' and deleting_since < now() - interval '1 second' * p_after_s
    returning 1)
  select exists (select from gone)
$$;

ALTER FUNCTION public.erase_tenant_row(p_after_s integer) OWNER TO agent_memory_eraser;

-- Name: erasure_verdicts(text, text, jsonb, text, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.erasure_verdicts(p_tenant text, p_job text, p_erasure jsonb, p_after text, p_limit integer) RETURNS TABLE(memory_id text, verdict text)
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_column
declare
  v_kind text := p_erasure ->> 'kind';
  v_subject text := p_erasure ->> 'subject';
  v_upto bigint := (p_erasure ->> 'upto')::bigint;
  v_keep boolean := coalesce((p_erasure ->> 'keep_shared')::boolean, false);
begin
  return query
  select m.memory_id, case
    when judged.theirs or (judged.gone and home.seq is null)
      or (judged.lost and not is_act(m.kind) and not is_grounded(p_tenant, m.memory_id, judged.refs, p_job => p_job)) then 'memory'
    when judged.lost or judged.gone then 'keep' end
  from (select * from memories n where n.tenant_id = p_tenant and n.memory_id > p_after order by n.memory_id limit p_limit) m
  cross join lateral (select surviving_seq(m, p_job) as seq) home
  cross join lateral (
    select
      m.content_seq <= v_upto and coalesce(case v_kind
        when 'user_id' then m.user_id = v_subject and not (v_keep and is_shared_act(m.kind, m.channel))
        when 'session_id' then m.scope = 'session' and m.session_id = v_subject
        when 'project_id' then m.scope = 'project' and m.project_id = v_subject end, false) as theirs,
      coalesce((select is_marked(p_tenant, p_job, e.event_id) from events e where e.tenant_id = p_tenant and e.seq = m.content_seq), false) as gone,
      coalesce(bool_or(is_marked(p_tenant, p_job, g.ref)), false) as lost,
      array_agg(g.ref) as refs
    from memory_refs(p_tenant, m.memory_id, m.content_seq) g
  ) judged;
end $$;

-- Name: estimate_retention(text, text, jsonb, timestamp with time zone); Type: FUNCTION; Schema: public

CREATE FUNCTION public.estimate_retention(p_tenant text, p_job text, p_trim jsonb, p_now timestamp with time zone) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
declare
  v_oldest bigint;
  v_to bigint;
  v_before bigint;
  v_carried bigint;
begin
  perform enter_tenant(p_tenant);
  select c.oldest_seq into v_oldest from tenant_clocks c where c.tenant_id = p_tenant;
  v_to := case when p_trim ? 'keep_events' or p_trim ? 'keep_days' then greatest(trim_bound(p_tenant, p_trim, p_now), v_oldest - 1) end;
  v_before := (select count(*) from events e where e.tenant_id = p_tenant and e.seq < v_oldest);
  v_carried := (
    select count(distinct k.seq) from erasure_marks k
    where k.tenant_id = p_tenant and k.job_id = p_job and k.what in ('carry', 'ground') and k.seq <= v_to);
  return expire_marked(p_tenant, p_job, null, true) || jsonb_build_object(
    'sample', (
      select coalesce(jsonb_agg(s.id), '[]') from (
        select k.id from erasure_marks k where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'event' order by k.seq limit 10) s),
    'trimmed', coalesce(v_before + v_to - v_oldest + 1 - v_carried, 0),
    'carried', case when v_to is null then v_before else v_carried end,
    'oldest_seq', coalesce(v_to + 1, v_oldest),
    'held_by', trim_blocker(p_tenant, p_trim, p_now));
end $$;

-- Name: event_doc(public.events); Type: FUNCTION; Schema: public

CREATE FUNCTION public.event_doc(p_event public.events) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ select jsonb_strip_nulls(jsonb_build_object(
  'kinds', case
    when p_event.kind like 'memory.%' then jsonb_build_array(p_event.kind, p_event.content ->> 'kind')
    when p_event.kind = 'task_update' then '["task_update", "task"]'
    else jsonb_build_array(p_event.kind) end,
  'session_id', p_event.session_id, 'user_id', p_event.user_id, 'agent_id', p_event.agent_id, 'project_id', p_event.project_id,
  'channel', p_event.channel, 'sensitivity', p_event.sensitivity, 'actor_type', p_event.actor_type, 'actor_id', p_event.actor_id,
  'tags', nullif(p_event.tags, '{}'), 'refs', nullif(p_event.refs, '{}'), 'seq', p_event.seq,
  'occurred_at', sortable_time(p_event.occurred_at), 'created_at', sortable_time(p_event.created_at)))
  || jsonb_build_object('metadata', p_event.metadata) $$;

-- Name: event_excerpt(text, jsonb, public.events); Type: FUNCTION; Schema: public

CREATE FUNCTION public.event_excerpt(p_tenant text, p_scope jsonb, p_event public.events) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
begin
  return (
    select jsonb_build_object('text', string_agg(coalesce(k.text, event_text(p_event.content)), '' order by k.ordinal), 'cut', p_event.chunk_count > 2)
    from chunks k
    where k.tenant_id = p_tenant and k.seq = p_event.seq and k.ordinal < 2
      and is_shown_in(k.blocked_in, p_scope ->> 'channel'));
end $$;

-- Name: event_matches(public.events, jsonb, boolean, text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.event_matches(p_event public.events, p_filter jsonb, p_withheld boolean, p_channel text) RETURNS boolean
    LANGUAGE sql STABLE
    AS $$ select coalesce(jsonb_path_match(
  case when p_withheld then withheld_doc(p_event) else event_doc(p_event)
    || case when (p_filter ->> 'memory')::boolean then memory_fields(p_event.tenant_id, p_event.seq, p_channel) else '{}' end end,
  (p_filter ->> 'path')::jsonpath, p_filter -> 'vars', true), false) $$;

-- Name: event_of(text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.event_of(p_id text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN (p_id ~ '^chk_'::text) THEN ('evt_'::text || split_part(substr(p_id, 5), '_'::text, 1)) ELSE p_id END;

-- Name: event_text(jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.event_text(p_content jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN COALESCE((p_content ->> 'text'::text), (p_content ->> 'excerpt_text'::text));

-- Name: events_check(text, bigint, bigint); Type: FUNCTION; Schema: public

CREATE FUNCTION public.events_check(p_tenant text, p_from bigint, p_to bigint) RETURNS SETOF public.finding
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
begin
  return query
  select 'seq', count(*), count(*) filter (where p.missing), sample_of(to_jsonb(p.seq) order by p.seq) filter (where p.missing), true
  from (
    select e.seq, false as missing from events e where e.tenant_id = p_tenant and e.seq between p_from and p_to
    union all
    select s.seq, true
    from generate_series(greatest(p_from, log_begin(p_tenant)), p_to) s (seq)
    where not exists (select from events e where e.tenant_id = p_tenant and e.seq = s.seq)
  ) p;
end $$;

-- Name: events_missing(text, text[], text, boolean); Type: FUNCTION; Schema: public

CREATE FUNCTION public.events_missing(p_tenant text, p_ids text[], p_oldest_id text, p_forgotten boolean) RETURNS TABLE(id text, gone boolean)
    LANGUAGE sql STABLE
    AS $$
  select i.id, coalesce(substr(i.id, 5, 26) < substr(p_oldest_id, 5, 26), false)
  from unnest(p_ids) i (id)
  -- `limit` forces a look-up per id
  left join lateral (
    select e.seq from events e where e.tenant_id = p_tenant and e.event_id = i.id limit 1
  ) e on true
  where e.seq is null
$$;

-- Name: events_of_edit(text, public.edits); Type: FUNCTION; Schema: public

CREATE FUNCTION public.events_of_edit(p_tenant text, p_edit public.edits) RETURNS bigint[]
    LANGUAGE plpgsql STABLE
    AS $_$
declare
  v_seqs bigint[] := array[p_edit.seq];
  v_noun text;
  v_more bigint[];
begin
  for v_noun in select * from hooks('reached') loop
    execute format('select array(select * from %I($1, $2))', v_noun || '_reached') into v_more using p_tenant, p_edit;
    v_seqs := v_seqs || v_more;
  end loop;
  return array(select distinct s from unnest(v_seqs) s);
end $_$;

-- Name: artifacts; Type: TABLE; Schema: public

CREATE TABLE public.artifacts (
    tenant_id text NOT NULL,
    artifact_id text NOT NULL,
    event_id text,
    media_type text NOT NULL,
    byte_count bigint NOT NULL,
    sha256 bytea NOT NULL,
    bytes bytea NOT NULL,
    channel text NOT NULL,
    sensitivity text NOT NULL,
    user_id text,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);
ALTER TABLE ONLY public.artifacts ALTER COLUMN bytes SET STORAGE EXTERNAL;

ALTER TABLE ONLY public.artifacts FORCE ROW LEVEL SECURITY;

-- Name: events_of_refs(text, text[]); Type: FUNCTION; Schema: public

CREATE FUNCTION public.events_of_refs(p_tenant text, p_refs text[]) RETURNS TABLE(ref text, event public.events)
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT r.ref,
     named.event
    FROM (( SELECT c.ref,
                 CASE
                     WHEN (c.ref ~ '^art_'::text) THEN ( SELECT a.event_id
                        FROM public.artifacts a
                       WHERE ((a.tenant_id = events_of_refs.p_tenant) AND (a.artifact_id = c.ref)))
                     ELSE public.event_of(c.ref)
                 END AS event_id
            FROM unnest(events_of_refs.p_refs) c(ref)
          OFFSET 0) r
      CROSS JOIN LATERAL ( SELECT e.*::public.events AS event
            FROM public.events e
           WHERE ((e.tenant_id = events_of_refs.p_tenant) AND (e.event_id = r.event_id))
          LIMIT 1) named);
END;

-- Name: is_gone(public.events); Type: FUNCTION; Schema: public

CREATE FUNCTION public.is_gone(p_event public.events) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
begin
  return (p_event.erased_at is not null and not p_event.content ? 'retention')
    or exists (select from overlays o where o.tenant_id = p_event.tenant_id and o.seq = p_event.seq and o.content ? 'withheld');
end $$;

-- Name: existing_sources(text, text[]); Type: FUNCTION; Schema: public

CREATE FUNCTION public.existing_sources(p_tenant text, p_refs text[]) RETURNS TABLE(ref text, seq bigint)
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT n.ref,
     (n.event).seq AS seq
    FROM public.events_of_refs(existing_sources.p_tenant, existing_sources.p_refs) n(ref, event)
   WHERE (((n.event).kind !~~ 'memory.%'::text) AND (NOT public.is_gone(n.event)));
END;

-- Name: expire_marked(text, text, bigint, boolean); Type: FUNCTION; Schema: public

CREATE FUNCTION public.expire_marked(p_tenant text, p_job text, p_by bigint, p_dry boolean) RETURNS jsonb
    LANGUAGE plpgsql
    AS $_$
declare
  v_noun text;
  v_counts jsonb := '{}';
  v_more jsonb;
begin
  for v_noun in select * from hooks('expire') loop
    execute format('select %I($1, $2, $3, $4)', v_noun || '_expire') into v_more using p_tenant, p_job, p_by, p_dry;
    v_counts := v_counts || v_more;
  end loop;
  return v_counts;
end $_$;

-- Name: expire_memories(text, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.expire_memories(p_tenant text, p_limit integer) RETURNS integer
    LANGUAGE plpgsql
    AS $$
declare
  v_count int;
begin
  perform enter_tenant(p_tenant);
  -- as every writer of memories, or one that is said again might expire under it
  perform from tenant_clocks c where c.tenant_id = p_tenant for update;
  update memories m set status = 'expired', doing_agent = null
  where m.tenant_id = p_tenant and m.memory_id = any (array(
    select o.memory_id
    from memories o
    where o.tenant_id = p_tenant and o.status = 'active' and o.expires_at <= clock_timestamp()
    order by o.expires_at
    limit p_limit));
  get diagnostics v_count = row_count;
  return v_count;
end $$;

-- Name: expire_targets(text, public.effect[]); Type: FUNCTION; Schema: public

CREATE FUNCTION public.expire_targets(p_tenant text, p_effects public.effect[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
  -- in its order, or a plan of an empty table read every memory of the tenant for each batch
  if (select m.expires_at from memories m where m.tenant_id = p_tenant and m.status = 'active' and m.expires_at is not null
      order by m.expires_at limit 1) <= clock_timestamp() then
    update memories m set status = 'expired', doing_agent = null
    from (
      select o.memory_id
      from unnest(p_effects) w
      cross join lateral (
        (select t.memory_id
         from memories t
         where t.tenant_id = p_tenant and t.status = 'active' and t.expires_at + interval '0' <= clock_timestamp()
           and t.text_hash >= decode(w.doc ->> 'text_hash', 'hex') and t.text_hash <= decode(w.doc ->> 'text_hash', 'hex')
           and same_subject(t.kind, t.channel, t.user_id) is not distinct from same_subject(t.kind, t.channel, w.user_id)
           and t.channel = w.channel
         order by t.text_hash
         limit 1000)
        union all
        select t.memory_id
        from memories t
        where t.tenant_id = p_tenant and t.memory_id = w.doc ->> 'task_ref' and t.status || '' = 'active'
          and t.expires_at + interval '0' <= clock_timestamp()
      ) o
    ) past
    where m.tenant_id = p_tenant and m.memory_id = past.memory_id;
  end if;
end $$;

-- Name: export_page(text, text, jsonb, bigint, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.export_page(p_tenant text, p_part text, p_after jsonb, p_upto bigint, p_limit integer) RETURNS TABLE(lines text, n integer, last jsonb)
    LANGUAGE plpgsql
    SET "TimeZone" TO 'UTC'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $_$
declare
  v_part record;
  v_keys text;
  v_columns text;
begin
  perform enter_tenant(p_tenant);
  select * into v_part from portable_parts() p where p.part = p_part;
  v_keys := (select string_agg(format('t.%I', k), ', ') from unnest(v_part.keys) k);
  v_columns := (select string_agg(format('t.%I', c.name), ', ') from portable_columns(v_part.relation) c);
  return query execute format($q$
    select string_agg(%1$L || substr(row_to_json(r)::text, 2), E'\n'), count(*)::int, (array_agg(k.keys))[count(*)]
    from (
      select t.*, sum(%2$s) over (order by %3$s rows unbounded preceding) - %2$s as before
      from (
        select t.*
        from %4$I t
        where t.tenant_id = $1 and ($2 is null or (%3$s) > (%5$s)) and %6$s
        order by %3$s
        limit $4
      ) t
    ) t
    cross join lateral (select %7$s) r
    cross join lateral (select jsonb_build_array(%3$s) as keys) k
    where t.before < 4194304 $q$,
    format('{"type":"%s",', p_part), format('(%s)::bigint', v_part.weight), v_keys, v_part.relation,
    (select string_agg(format('($2 ->> %s)::%s', k.ord - 1, c.type), ', ' order by k.ord)
     from unnest(v_part.keys) with ordinality k (name, ord) join portable_columns(v_part.relation) c on c.name = k.name),
    coalesce(v_part.bound, 'true'), v_columns)
  using p_tenant, p_after, p_upto, p_limit;
end $_$;

-- Name: jobs; Type: TABLE; Schema: public

CREATE TABLE public.jobs (
    tenant_id text NOT NULL,
    job_id text NOT NULL,
    kind text NOT NULL,
    state text DEFAULT 'queued'::text NOT NULL,
    done bigint DEFAULT 0 NOT NULL,
    total bigint,
    input jsonb NOT NULL,
    cursor jsonb,
    result jsonb,
    problem jsonb,
    started_by text NOT NULL,
    token integer DEFAULT 0 NOT NULL,
    due_at timestamp with time zone NOT NULL,
    tries integer DEFAULT 0 NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    finished_at timestamp with time zone,
    CONSTRAINT jobs__state CHECK ((state = ANY (ARRAY['queued'::text, 'running'::text, 'done'::text, 'failed'::text])))
);

ALTER TABLE ONLY public.jobs FORCE ROW LEVEL SECURITY;

-- Name: fail_job(text, text, jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.fail_job(p_tenant text, p_job text, p_problem jsonb) RETURNS void
    LANGUAGE sql
    BEGIN ATOMIC
 UPDATE public.jobs AS j SET state = 'failed'::text, problem = fail_job.p_problem, input = '{}'::jsonb, updated_at = clock_timestamp(), finished_at = clock_timestamp()
   WHERE ((j.tenant_id = fail_job.p_tenant) AND (j.job_id = fail_job.p_job) AND (j.finished_at IS NULL));
END;

-- Name: fill_template(text, jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.fill_template(p_statement text, p_parts jsonb) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    AS $$
declare
  v_part record;
begin
  for v_part in select p.key, p.value from jsonb_each_text(p_parts) p loop
    p_statement := replace(p_statement, '{' || v_part.key || '}', v_part.value);
  end loop;
  return p_statement;
end $$;

-- Name: find_excess_repeats(text, jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.find_excess_repeats(p_tenant text, p_units jsonb) RETURNS TABLE(unit integer, event bigint, memory_id text)
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    AS $_$
#variable_conflict use_column
declare
  -- memories that this commit supersedes cannot be restated
  v_ending text[] := array(
    select memory_of(p_tenant, r.ref #>> '{}') from jsonb_path_query(p_units, '$[*].events[*].effects.memories.supersedes') r (ref));
begin
  return query
  with asked as (
    select u.ord as unit, e.ord as event, r.memory_id, held.memory_id as held_id, held.repeats,
      row(same.hash, r.kind, same.scope_id, r.scope, f.user_id, f.channel, f.sensitivity)::text as key
    from jsonb_array_elements(p_units) with ordinality u (doc, ord)
    cross join lateral jsonb_array_elements(u.doc -> 'events') with ordinality e (doc, ord)
    cross join lateral jsonb_to_record(e.doc) f (channel text, user_id text, session_id text, project_id text, sensitivity text)
    cross join lateral jsonb_to_record(e.doc #> '{effects,memories}') r (memory_id text, kind text, scope text, text_hash text, status text)
    cross join lateral (
      select decode(r.text_hash, 'hex') as hash, scope_id(r.scope, f.project_id, f.session_id, f.user_id) as scope_id
    ) same
    left join lateral (
      -- what an edit withholds is stated anew
      select m.memory_id, case when exists (
        select from overlays o where o.tenant_id = p_tenant and o.seq = m.content_seq and o.content ? 'withheld') then -1 else m.repeats end as repeats
      from memories m
      where m.tenant_id = p_tenant and m.status = 'active' and m.text_hash >= same.hash and m.text_hash <= same.hash
        and m.kind || '' = r.kind and m.scope = r.scope and m.scope_id is not distinct from same.scope_id and m.user_id is not distinct from f.user_id
        and m.channel = f.channel and m.sensitivity = f.sensitivity and m.memory_id <> all (v_ending)
        and (m.expires_at is null or m.expires_at > clock_timestamp())
      order by m.text_hash
      limit 1
    ) held on true
    where r.status = 'active' and r.kind <> 'task'
  ),
  numbered as (
    select a.unit, a.event, coalesce(a.held_id, first_value(a.memory_id) over same) as id, coalesce(a.repeats, -1) + row_number() over same as nth
    from asked a
    window same as (partition by a.key order by a.unit, a.event)
  )
  select n.unit::int, n.event, n.id from numbered n where n.nth > 256;
end $_$;

-- Name: find_handoff(text, jsonb, jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.find_handoff(p_tenant text, p_scope jsonb, p_request jsonb) RETURNS TABLE(seq bigint, event_id text, session_id text, content jsonb, occurred_at timestamp with time zone, memory jsonb)
    LANGUAGE plpgsql
    AS $$
declare
  v_last bigint := coalesce((p_scope ->> 'as_of_seq')::bigint, 9223372036854775807);
begin
  perform enter_tenant(p_tenant);
  return query
  select e.seq, e.event_id, e.session_id, e.content, e.occurred_at,
    memory_details(p_tenant, h.memory, e.seq, e.content, e.actor_type, e.actor_id, v_last,
      (p_scope ->> 'as_of')::timestamptz)
  from select_memories(p_tenant, p_scope, p_request, v_last, array['handoff'], array[200], 'active') h
  cross join lateral (select s.* from seen_events(p_tenant, p_scope) s where s.seq = h.content_seq limit 1) e
  where e.content #>> '{body,to_agent}' = p_request ->> 'agent_id'
  order by e.seq desc
  limit 1;
end $$;

-- Name: find_stray(text, text, bigint, text, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.find_stray(p_tenant text, p_noun text, p_first bigint, p_after text, p_limit integer) RETURNS TABLE(last text, fault text)
    LANGUAGE plpgsql
    AS $_$
begin
  perform enter_tenant(p_tenant);
  return query execute format('select last, fault from %I($1, $2, $3, $4)', p_noun || '_stray') using p_tenant, p_first, p_after, p_limit;
end $_$;

-- Name: fingerprint_tables(); Type: FUNCTION; Schema: public

CREATE FUNCTION public.fingerprint_tables() RETURNS TABLE(name text, rows bigint, hash numeric)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    SET "DateStyle" TO 'ISO'
    SET "IntervalStyle" TO 'postgres'
    SET bytea_output TO 'hex'
    SET extra_float_digits TO '1'
    AS $$
declare
  v_table record;
begin
  for v_table in
    select n.nspname as schema, c.relname as relation
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind = 'r' and c.relpersistence = 'p' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
      and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
    order by 1, 2
  loop
    name := format('%I.%I', v_table.schema, v_table.relation);
    execute format('select count(*), coalesce(sum(hashtextextended(t::text, 0)), 0) from %s t', name) into rows, hash;
    return next;
  end loop;
end $$;

-- Name: fingerprint_tenants(); Type: FUNCTION; Schema: public

CREATE FUNCTION public.fingerprint_tenants() RETURNS TABLE(tenant_id text, last_seq bigint, oldest_seq bigint, events bigint, events_hash numeric, audit_seq bigint, audit_mac text)
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    SET "DateStyle" TO 'ISO'
    SET extra_float_digits TO '1'
    AS $$
  select t.tenant_id, c.last_seq, c.oldest_seq, coalesce(e.rows, 0), coalesce(e.hash, 0), coalesce(a.last_seq, 0), coalesce(encode(a.last_mac, 'hex'), '')
  from public.tenants t
  left join public.tenant_clocks c using (tenant_id)
  left join public.audit_clocks a using (tenant_id)
  left join (
    select l.tenant_id, count(*) as rows, sum(hashtextextended(l::text, 0)) as hash from public.events l group by l.tenant_id
  ) e using (tenant_id)
  order by t.tenant_id
$$;

-- Name: finish_import(text, text, jsonb, text, jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.finish_import(p_tenant text, p_import text, p_clock jsonb, p_language text, p_settings jsonb) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
  perform renew_import(p_tenant, p_import, 0, 2 * (p_clock ->> 'event_count')::bigint, 0);
  if not exists (
    select from pg_catalog.pg_ts_config f where f.cfgname = p_language and f.cfgnamespace = 'pg_catalog'::regnamespace) then
    raise exception 'the database has no text search configuration with the name of the language' using errcode = 'AM409';
  end if;
  perform configure_tenant(p_tenant, ('pg_catalog.' || p_language)::regconfig, p_settings);
  perform begin_rebuild(p_tenant);
  perform mark_import(p_tenant, null);
  perform set_clock(p_tenant, k.last_seq, k.oldest_seq, k.event_count, k.stored_bytes)
  from jsonb_to_record(p_clock) k (last_seq bigint, oldest_seq bigint, event_count bigint, stored_bytes bigint);
  perform hand_over_job(p_tenant, p_import, p_clock);
end $$;

-- Name: finish_job(text, text, integer, jsonb, jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.finish_job(p_tenant text, p_job text, p_token integer, p_result jsonb, p_problem jsonb) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
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

-- Name: finish_login(text, text, text, text, jsonb, bytea, bytea, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.finish_login(p_tenant text, p_user text, p_hash text, p_new_hash text, p_session jsonb, p_account bytea, p_address bytea, p_free_address integer) RETURNS TABLE(user_id text, username text, role text, generation integer)
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_column
begin
  perform enter_tenant(p_tenant);
  return query
  update users u set password_hash = coalesce(p_new_hash, u.password_hash)
  where u.tenant_id = p_tenant and u.user_id = p_user and u.password_hash = p_hash and u.disabled_at is null
  returning u.user_id, u.username, u.role, u.generation;
  if found then
    perform clear_failures(p_account, p_address, p_free_address);
    perform open_session(p_tenant, p_user, p_session);
  end if;
end $$;

-- Name: grounding(text, text, text, bigint, integer, bigint, timestamp with time zone); Type: FUNCTION; Schema: public

CREATE FUNCTION public.grounding(p_tenant text, p_memory_id text, p_kind text, p_content_seq bigint, p_limit integer DEFAULT 256, p_last bigint DEFAULT NULL::bigint, p_as_of timestamp with time zone DEFAULT NULL::timestamp with time zone) RETURNS TABLE(refs text[], ref_count integer, grounded boolean, unsourced boolean)
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
begin
  refs := array(
    select g.ref from memory_refs(p_tenant, p_memory_id, p_content_seq, p_last, p_as_of) g order by g.seq desc, g.place, g.ref);
  ref_count := cardinality(refs);
  grounded := is_act(p_kind) or is_grounded(p_tenant, p_memory_id, refs, p_last, p_as_of);
  unsourced := not grounded and needs_sources(p_tenant, p_kind);
  refs := refs[1:p_limit];
  return next;
end $$;

-- Name: is_act(text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.is_act(p_kind text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (p_kind = ANY (ARRAY['decision'::text, 'task'::text, 'rule'::text, 'preference'::text, 'handoff'::text]));

-- Name: is_marked(text, text, text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.is_marked(p_tenant text, p_job text, p_ref text) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
declare
  v_id text := event_of(p_ref);
begin
  return exists (
    select from erasure_marks k
    where k.tenant_id = p_tenant and k.job_id = p_job and k.id = v_id and k.what = any (array['event', 'artifact', 'memory']));
end $$;

-- Name: grounding_memories(text, text[], text[], text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.grounding_memories(p_tenant text, p_refs text[], p_seen text[], p_job text DEFAULT NULL::text) RETURNS TABLE(memory_id text, kind text)
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT m.memory_id,
     m.kind
    FROM (((unnest(grounding_memories.p_refs) WITH ORDINALITY r(ref, place)
      CROSS JOIN LATERAL ( SELECT x.id
            FROM public.memory_of(grounding_memories.p_tenant, r.ref) x(id)
          OFFSET 0) o)
      CROSS JOIN LATERAL ( SELECT m_1.tenant_id,
             m_1.memory_id,
             m_1.kind,
             m_1.scope,
             m_1.scope_id,
             m_1.status,
             m_1.version,
             m_1.content_seq,
             m_1.last_seq,
             m_1.user_id,
             m_1.agent_id,
             m_1.session_id,
             m_1.project_id,
             m_1.channel,
             m_1.sensitivity,
             m_1.text_hash,
             m_1.importance,
             m_1.pinned,
             m_1.repeats,
             m_1.worn,
             m_1.tags,
             m_1.valid_from,
             m_1.valid_to,
             m_1.expires_at,
             m_1.superseded_by,
             m_1.task_status,
             m_1.doing_agent,
             m_1.marks,
             m_1.created_at,
             m_1.updated_at
            FROM public.memories m_1
           WHERE ((m_1.tenant_id = grounding_memories.p_tenant) AND (m_1.memory_id = o.id))
          OFFSET 0) m)
      CROSS JOIN LATERAL ( SELECT e_1.*::public.events AS said
            FROM public.events e_1
           WHERE ((e_1.tenant_id = grounding_memories.p_tenant) AND (e_1.seq = m.content_seq))
          OFFSET 0) e)
   WHERE ((NOT (m.memory_id = ANY (grounding_memories.p_seen))) AND (m.status <> 'deleted'::text) AND (NOT public.is_gone(e.said)) AND ((grounding_memories.p_job IS NULL) OR (NOT public.is_marked(grounding_memories.p_tenant, grounding_memories.p_job, m.memory_id))))
   GROUP BY m.memory_id, m.kind
   ORDER BY (public.is_act(m.kind)) DESC, (min(r.place))
  LIMIT GREATEST(1, (65 - cardinality(grounding_memories.p_seen)));
END;

-- Name: hand_over_job(text, text, jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.hand_over_job(p_tenant text, p_job text, p_input jsonb) RETURNS void
    LANGUAGE sql
    BEGIN ATOMIC
 UPDATE public.jobs AS j SET state = 'queued'::text, input = hand_over_job.p_input
   WHERE ((j.tenant_id = hand_over_job.p_tenant) AND (j.job_id = hand_over_job.p_job));
END;

-- Name: has_forgotten(text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.has_forgotten(p_tenant text) RETURNS boolean
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT ((NOT (EXISTS ( SELECT
            FROM public.events e
           WHERE ((e.tenant_id = has_forgotten.p_tenant) AND (e.seq = 1) AND (e.carried_at IS NULL))))) OR (EXISTS ( SELECT
            FROM public.events e
           WHERE ((e.tenant_id = has_forgotten.p_tenant) AND (e.kind = ANY (ARRAY['erasure.completed'::text, 'retention.forgot'::text]))))));
END;

-- Name: has_passage(text, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.has_passage(p_id text, p_chunk_count integer) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN (p_id !~ '^chk_'::text) THEN true WHEN (p_id !~ '^chk_[^_]+_[0-9]{1,5}$'::text) THEN false ELSE ((split_part(p_id, '_'::text, 3))::integer < p_chunk_count) END;

-- Name: held_among(text, bigint[]); Type: FUNCTION; Schema: public

CREATE FUNCTION public.held_among(p_tenant text, p_seqs bigint[]) RETURNS TABLE(seq bigint, live boolean, importance numeric)
    LANGUAGE plpgsql STABLE
    AS $_$
declare
  v_noun text;
begin
  for v_noun in select * from hooks('held') loop
    return query execute format('select * from %I($1, $2)', v_noun || '_held') using p_tenant, p_seqs;
  end loop;
end $_$;

-- Name: hold_job(text, text, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.hold_job(p_tenant text, p_job text, p_lease_ms integer) RETURNS void
    LANGUAGE sql
    BEGIN ATOMIC
 UPDATE public.jobs AS j SET state = 'running'::text, due_at = (clock_timestamp() + ('00:00:00.001'::interval * (hold_job.p_lease_ms)::double precision))
   WHERE ((j.tenant_id = hold_job.p_tenant) AND (j.job_id = hold_job.p_job));
END;

-- Name: nouns; Type: TABLE; Schema: public

CREATE TABLE public.nouns (
    noun text NOT NULL,
    place integer NOT NULL,
    id_prefix text,
    without text[] DEFAULT '{}'::text[] NOT NULL
);

-- Name: hooks(text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.hooks(p_hook text) RETURNS SETOF text
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT n.noun
    FROM public.nouns n
   WHERE (to_regproc(format('public.%I'::text, ((n.noun || '_'::text) || hooks.p_hook))) IS NOT NULL)
   ORDER BY n.place;
END;

-- Name: idempotency_forget(text, text, jsonb, text, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.idempotency_forget(p_tenant text, p_job text, p_erasure jsonb, p_after text, p_limit integer) RETURNS TABLE(last text, counts jsonb)
    LANGUAGE plpgsql
    AS $$
declare
  v_marked bytea[];
begin
  select max(encode(k.key_hash, 'hex')), coalesce(array_agg(k.key_hash) filter (where exists (
    select from events e join erasure_marks m on m.tenant_id = p_tenant and m.job_id = p_job and m.what = 'event' and m.id = e.event_id
    where e.tenant_id = p_tenant and e.seq >= (k.outcome ->> 'seq')::bigint
      and e.seq < (k.outcome ->> 'seq')::bigint + (k.outcome ->> 'count')::bigint)), '{}')
  into last, v_marked
  from (
    select i.key_hash, i.outcome from idempotency_keys i
    where i.tenant_id = p_tenant and i.key_hash > decode(p_after, 'hex') order by i.key_hash limit p_limit) k;
  if not p_erasure ? 'dry_run' then
    delete from idempotency_keys k where k.tenant_id = p_tenant and k.key_hash = any (v_marked);
  end if;
  counts := jsonb_build_object('idempotency_keys', cardinality(v_marked));
  return next;
end $$;

-- Name: import_artifact(text, text, jsonb, bytea, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.import_artifact(p_tenant text, p_import text, p_row jsonb, p_bytes bytea, p_lease_ms integer) RETURNS void
    LANGUAGE plpgsql
    SET "TimeZone" TO 'UTC'
    AS $$
begin
  perform renew_import(p_tenant, p_import, 0, null, p_lease_ms);
  perform keep_artifact(p_tenant, p_row, p_bytes);
end $$;

-- Name: import_rows(text, text, text, jsonb, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.import_rows(p_tenant text, p_import text, p_part text, p_rows jsonb, p_lease_ms integer) RETURNS void
    LANGUAGE plpgsql
    SET "TimeZone" TO 'UTC'
    AS $_$
declare
  v_relation text := (select p.relation from portable_parts() p where p.part = p_part);
  v_columns text;
  v_values text;
begin
  perform renew_import(p_tenant, p_import, case p_part when 'event' then jsonb_array_length(p_rows) else 0 end, null, p_lease_ms);
  select
    string_agg(format('%I', c.name), ', '),
    string_agg(case when c.name <> 'byte_count' or p_part <> 'event' then format('r.%I', c.name)
      else 'case when abs(r.byte_count - w.bytes) <= 16 then r.byte_count else w.bytes end' end, ', ')
  into v_columns, v_values
  from portable_columns(v_relation) c;
  execute format(
    'insert into %1$I (tenant_id, %2$s) select $1, %3$s from jsonb_populate_recordset(null::%1$I, $2) r %4$s',
    v_relation, v_columns, v_values,
    case when p_part = 'event' then 'cross join lateral (select pg_column_size(r.content) + pg_column_size(r.metadata) as bytes) w' else '' end)
  using p_tenant, p_rows;
end $_$;

-- Name: index_conditions(jsonb, jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.index_conditions(p_scope jsonb, p_plan jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    AS $$
declare
  -- the same expression as in the index chunks__search
  v_keys constant text := 'chunk_places(c.tenant_id, c.seq, c.session_id, c.channel, c.user_id, c.agent_id, c.project_id)';
  v_in_scope constant text := format('%s @> %L::uuid[]', v_keys, scope_keys(p_scope));
  v_audience uuid[];
  v_epochs uuid[];
begin
  if (p_plan ->> 'narrow_audience')::boolean then
    v_audience := audience_keys(p_scope);
  end if;
  if p_plan ->> 'recent_from' is not null then
    v_epochs := array(
      select place_key(current_tenant(), 'epoch', e::text)
      from generate_series((p_plan ->> 'recent_from')::bigint / 16384, (p_scope ->> 'as_of_seq')::bigint / 16384) e);
  end if;
  return jsonb_build_object(
    'anywhere', concat_ws(' and ',
      v_in_scope,
      v_keys || ' && ' || quote_literal(v_audience),
      format('term_vector(c.terms) @@ %L::tsquery', p_plan ->> 'full')),
    'lately', case when v_epochs is null then 'false' else concat_ws(' and ',
      case when p_scope ?| array['session_id', 'user_id', 'agent_id', 'project_id'] then v_in_scope end,
      v_keys || ' && ' || quote_literal(v_epochs),
      format('term_vector(c.terms) @@ %L::tsquery and c.seq + 0 >= %L::bigint', p_plan ->> 'recent', p_plan ->> 'recent_from')) end);
end $$;

-- Name: is_admin_now(text, text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.is_admin_now(p_tenant text, p_principal text) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
begin
  perform enter_tenant(p_tenant);
  if p_principal like 'key\_%' then
    return exists (
      select from api_keys k
      where k.tenant_id = p_tenant and k.key_id = p_principal and 'admin' = any (k.scopes)
        and role_rank(effective_key_role(k)) >= role_rank('admin'));
  end if;
  return may_administer(p_tenant, p_principal, 'admin');
end $$;

-- Name: is_as_written(xid, text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.is_as_written(p_xmin xid, p_written text) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    RETURN ((p_xmin)::text = (mod((p_written)::numeric, ('4294967296'::bigint)::numeric))::text);

-- Name: is_confirmed(); Type: FUNCTION; Schema: public

CREATE FUNCTION public.is_confirmed() RETURNS boolean
    LANGUAGE plpgsql
    AS $$
begin
  if not exists (select from installation) then
    insert into installation (place, restored) values (this_place(), this_restore()) on conflict do nothing;
  end if;
  return is_in_place();
end $$;

-- Name: is_current_memory(public.memories); Type: FUNCTION; Schema: public

CREATE FUNCTION public.is_current_memory(p_memory public.memories) RETURNS boolean
    LANGUAGE sql STABLE
    AS $$ select p_memory.status in ('active', 'proposed') and coalesce(p_memory.expires_at > now(), true) and coalesce(p_memory.task_status <> 'done', true) $$;

-- Name: is_empty_tenant(text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.is_empty_tenant(p_tenant text) RETURNS boolean
    LANGUAGE plpgsql STABLE
    AS $_$
declare
  v_relation text;
  v_found boolean;
begin
  for v_relation in select p.relation from portable_parts() p where not p.has_bytes loop
    execute format('select exists (select from %I t where t.tenant_id = $1)', v_relation) into v_found using p_tenant;
    if v_found then
      return false;
    end if;
  end loop;
  return true;
end $_$;

-- Name: is_event_marked(text, text, bigint); Type: FUNCTION; Schema: public

CREATE FUNCTION public.is_event_marked(p_tenant text, p_job text, p_seq bigint) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
begin
  return exists (
    select
    from events e join erasure_marks k on k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'event' and k.id = e.event_id
    where e.tenant_id = p_tenant and e.seq = p_seq);
end $$;

-- Name: is_grounded(text, text, text[], bigint, timestamp with time zone, text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.is_grounded(p_tenant text, p_memory_id text, p_refs text[], p_last bigint DEFAULT NULL::bigint, p_as_of timestamp with time zone DEFAULT NULL::timestamp with time zone, p_job text DEFAULT NULL::text) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
declare
  v_refs text[] := p_refs;
  v_seen text[] := array[p_memory_id];
  v_memories text[];
  v_found boolean;
begin
  for depth in 1 .. 4 loop
    exit when coalesce(cardinality(v_refs), 0) = 0;
    if p_job is not null then
      v_refs := array(select r.ref from unnest(v_refs) r (ref) where not is_marked(p_tenant, p_job, r.ref));
    end if;
    if exists (select from existing_sources(p_tenant, v_refs)) then
      return true;
    end if;
    select array_agg(g.memory_id), bool_or(is_act(g.kind)) into v_memories, v_found
    from grounding_memories(p_tenant, v_refs, v_seen, p_job) g;
    if v_found then
      return true;
    end if;
    exit when depth = 4 or cardinality(v_seen) > 64;
    v_seen := v_seen || v_memories;
    v_refs := array(select g.ref from refs_of_memories(p_tenant, v_memories, p_last, p_as_of) g);
  end loop;
  return false;
end $$;

-- Name: is_importing(); Type: FUNCTION; Schema: public

CREATE FUNCTION public.is_importing() RETURNS boolean
    LANGUAGE sql STABLE
    AS $$ select exists (select from tenant_clocks c where c.tenant_id = (select current_tenant()) and c.importing is not null) $$;

-- Name: is_in_place(); Type: FUNCTION; Schema: public

CREATE FUNCTION public.is_in_place() RETURNS boolean
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT ((i.place = public.this_place()) AND (i.restored = public.this_restore()) AND public.is_as_written(i.xmin, i.written))
    FROM public.installation i;
END;

-- Name: is_last_owner(text, text[]); Type: FUNCTION; Schema: public

CREATE FUNCTION public.is_last_owner(p_tenant text, p_users text[]) RETURNS boolean
    LANGUAGE sql STABLE
    RETURN ((EXISTS (SELECT FROM public.users u WHERE ((u.tenant_id = is_last_owner.p_tenant) AND (u.user_id = ANY (is_last_owner.p_users)) AND (u.role = 'owner'::text) AND (u.disabled_at IS NULL)))) AND (1 = (SELECT count(*) AS count FROM public.users u WHERE ((u.tenant_id = is_last_owner.p_tenant) AND (u.role = 'owner'::text) AND (u.disabled_at IS NULL)))));

-- Name: is_of_deleted_memory(text, bigint); Type: FUNCTION; Schema: public

CREATE FUNCTION public.is_of_deleted_memory(p_tenant text, p_seq bigint) RETURNS boolean
    LANGUAGE sql STABLE
    RETURN COALESCE((SELECT (m.status = 'deleted'::text) FROM (public.memory_versions v JOIN public.memories m ON (((m.tenant_id = v.tenant_id) AND (m.memory_id = v.memory_id)))) WHERE ((v.tenant_id = is_of_deleted_memory.p_tenant) AND (v.seq = is_of_deleted_memory.p_seq) AND (v.status <> 'superseded'::text)) LIMIT 1), false);

-- Name: is_quarantined(text[]); Type: FUNCTION; Schema: public

CREATE FUNCTION public.is_quarantined(p_blocked_in text[]) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (cardinality(p_blocked_in) = 4);

-- Name: is_shared_act(text, text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.is_shared_act(p_kind text, p_channel text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ((p_kind = ANY (ARRAY['decision'::text, 'task'::text, 'rule'::text])) AND (p_channel = ANY (ARRAY['team'::text, 'public'::text])));

-- Name: is_shown_by_id(text[], text[]); Type: FUNCTION; Schema: public

CREATE FUNCTION public.is_shown_by_id(p_blocked_in text[], p_asking text[]) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ((p_blocked_in IS NULL) OR public.is_quarantined(p_blocked_in) OR (NOT (p_blocked_in @> p_asking)));

-- Name: is_shown_in(text[], text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.is_shown_in(p_blocked_in text[], p_channel text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ((p_blocked_in IS NULL) OR (NOT (p_blocked_in @> ARRAY[p_channel])));

-- Name: is_shown_in_all(text[], text[]); Type: FUNCTION; Schema: public

CREATE FUNCTION public.is_shown_in_all(p_blocked_in text[], p_channels text[]) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ((p_blocked_in IS NULL) OR (NOT (p_blocked_in && p_channels)));

-- Name: is_valid_at(public.memories, timestamp with time zone); Type: FUNCTION; Schema: public

CREATE FUNCTION public.is_valid_at(p_memory public.memories, p_at timestamp with time zone) RETURNS boolean
    LANGUAGE sql STABLE
    AS $$ select (p_memory.valid_from is null or p_memory.valid_from <= p_at) and (p_memory.valid_to is null or p_memory.valid_to > p_at) $$;

-- Name: is_wrong_successor(public.memories, text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.is_wrong_successor(p_memory public.memories, p_expected text) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
begin
  return (
  select p_memory.superseded_by is distinct from p_expected
    and not (p_memory.status = 'superseded' and p_expected is null and exists (
      select from memories n
      where n.tenant_id = p_memory.tenant_id and n.memory_id = p_memory.superseded_by
        and (n.repeats >= 256 or has_forgotten(p_memory.tenant_id)))));
end $$;

-- Name: jobs_revoke(text, text, jsonb, text, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.jobs_revoke(p_tenant text, p_job text, p_erasure jsonb, p_after text, p_limit integer) RETURNS TABLE(last text, counts jsonb)
    LANGUAGE plpgsql
    AS $$
begin
  if not p_erasure ? 'dry_run' then
    update jobs j set started_by = p_erasure ->> 'name'
    where j.tenant_id = p_tenant and j.started_by = any (array(select jsonb_array_elements_text(p_erasure -> 'users')));
  end if;
  counts := '{}';
  return next;
end $$;

-- Name: tenant_clocks; Type: TABLE; Schema: public

CREATE TABLE public.tenant_clocks (
    tenant_id text NOT NULL,
    last_seq bigint DEFAULT 0 NOT NULL,
    oldest_seq bigint DEFAULT 1 NOT NULL,
    event_count bigint DEFAULT 0 NOT NULL,
    stored_bytes bigint DEFAULT 0 NOT NULL,
    max_bytes bigint,
    importing text
)
WITH (fillfactor='50');

ALTER TABLE ONLY public.tenant_clocks FORCE ROW LEVEL SECURITY;

-- Name: judge_effects(text, text, timestamp with time zone, public.tenant_clocks, jsonb, public.verdict[]); Type: FUNCTION; Schema: public

CREATE FUNCTION public.judge_effects(p_tenant text, p_noun text, p_at timestamp with time zone, p_clock public.tenant_clocks, INOUT units jsonb, INOUT verdicts public.verdict[]) RETURNS record
    LANGUAGE plpgsql
    AS $_$
declare
  v_view jsonb := units;
  v_judged judgement;
  v_refused boolean := false;
  v_changed int[];
  v_docs jsonb[];
begin
  if exists (select from unnest(verdicts) v where v.status <> 'new') then
    v_view := (select jsonb_agg(case when v.status = 'new' then units -> (v.unit - 1) else 'null' end order by v.unit) from unnest(verdicts) v);
  end if;
  for v_judged in execute format('select * from %I($1, $2, $3)', p_noun || '_judge') using p_tenant, v_view, p_at loop
    if v_judged.refusal is not null then
      verdicts[v_judged.unit].status := 'refused';
      verdicts[v_judged.unit].outcome := jsonb_build_object('seq', 0, 'count', 0, 'refusal', v_judged.refusal);
      v_refused := true;
    else
      v_changed := array_append(v_changed, v_judged.unit);
      v_docs := array_append(v_docs, v_judged.doc);
      verdicts[v_judged.unit].bytes := (v_judged.doc ->> 'bytes')::bigint;
    end if;
  end loop;
  -- once for all: each change of a batch copies the whole of it
  if v_changed is not null then
    units := (
      select jsonb_agg(coalesce(c.doc, u.doc) order by u.ord)
      from jsonb_array_elements(units) with ordinality u (doc, ord)
      left join unnest(v_changed, v_docs) c (unit, doc) on c.unit = u.ord);
  end if;
  if v_refused then
    verdicts := place_units(verdicts, p_clock);
  end if;
end $_$;

-- Name: judge_units(text, jsonb, public.tenant_clocks); Type: FUNCTION; Schema: public

CREATE FUNCTION public.judge_units(p_tenant text, p_units jsonb, p_clock public.tenant_clocks) RETURNS public.verdict[]
    LANGUAGE plpgsql
    AS $$
declare
  v_room bigint := coalesce(p_clock.max_bytes - p_clock.stored_bytes, 1::bigint << 60);
begin
  return array(
    -- materialized: under row-level security a key decoded in place would not use the index, as `decode` is not leakproof
    with unit as materialized (
      select
        u.ord as unit, decode(u.doc ->> 'key', 'hex') as key_hash, decode(u.doc ->> 'body', 'hex') as body_hash,
        (u.doc ->> 'bytes')::bigint as bytes, jsonb_array_length(u.doc -> 'events') as count
      from jsonb_array_elements(p_units) with ordinality u (doc, ord)
    ),
    ranked as (
      select
        u.*, k.body_hash as known_body, k.outcome, k.created_at,
        case when u.key_hash is null then u.unit else first_value(u.unit) over same end as leader,
        first_value(u.body_hash) over same as leader_body
      from unit u
      -- `limit` forces an index lookup per key: a plan made while the table was small read every key of the tenant, for each batch
      left join lateral (
        select i.body_hash, i.outcome, i.created_at
        from idempotency_keys i
        where i.tenant_id = p_tenant and i.key_hash = u.key_hash
        limit 1
      ) k on true
      window same as (partition by u.key_hash order by u.unit)
    ),
    sized as (
      select *, sum_fitting(case when outcome is null and leader = unit then bytes end, v_room) over (order by unit) as used
      from ranked
    ),
    judged as (
      select *,
        case
          when outcome is not null then case when known_body = body_hash then 'replay' else 'conflict' end
          when leader <> unit then case when leader_body = body_hash then 'echo' else 'conflict' end
          when used - lag(used, 1, 0::bigint) over (order by unit) = bytes then 'new'
          else 'quota'
        end as status
      from sized
    )
    select row(
      unit, status, key_hash, body_hash, bytes, count, leader,
      p_clock.last_seq + 1 + sum(case when status = 'new' then count else 0 end) over (order by unit) - count,
      outcome, created_at)::verdict
    from judged
    order by unit);
end $$;

-- Name: keep_artifact(text, jsonb, bytea); Type: FUNCTION; Schema: public

CREATE FUNCTION public.keep_artifact(p_tenant text, p_row jsonb, p_bytes bytea) RETURNS void
    LANGUAGE sql
    AS $$
  insert into artifacts (tenant_id, artifact_id, event_id, media_type, byte_count, sha256, bytes, channel, sensitivity, user_id, created_at)
  select p_tenant, r.artifact_id, r.event_id, r.media_type, length(p_bytes), sha256(p_bytes), p_bytes, r.channel, r.sensitivity, r.user_id, r.created_at
  from jsonb_populate_record(null::artifacts, p_row) r
$$;

-- Name: keep_five(jsonb, jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.keep_five(p_sample jsonb, p_one jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN (jsonb_array_length(p_sample) < 5) THEN (p_sample || jsonb_build_array(p_one)) ELSE p_sample END;

-- Name: keep_memory(text, text, text, text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.keep_memory(p_tenant text, p_job text, p_memory_id text, p_event_id text) RETURNS void
    LANGUAGE plpgsql
    AS $$
declare
  v_memory memories;
  v_home events;
  v_refs text[];
  v_gone bigint[];
begin
  select * into v_memory from memories m where m.tenant_id = p_tenant and m.memory_id = p_memory_id for update;
  select * into v_home from events e where e.tenant_id = p_tenant and e.seq = surviving_seq(v_memory, p_job);
  if v_memory.memory_id is null or v_home.seq is null then
    return;
  end if;
  v_refs := array(
    select g.ref from memory_refs(p_tenant, p_memory_id, v_memory.content_seq) g
    where not is_marked(p_tenant, p_job, g.ref) order by g.seq desc, g.place, g.ref limit 256);
  with gone as (
    delete from memory_versions v using erasure_marks k
    where v.tenant_id = p_tenant and v.memory_id = p_memory_id and v.status in ('active', 'proposed')
      and k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'event' and k.seq = v.seq
    returning v.seq)
  select array_agg(g.seq) into v_gone from gone g;
  v_memory := move_content(v_memory, v_home);
  if v_memory.status in ('active', 'proposed') then
    perform restate_memory(v_memory, v_home, v_refs, p_event_id);
  end if;
  perform move_passage_ends(p_tenant, p_memory_id, v_gone);
end $$;

-- Name: key_state(text, text, bytea); Type: FUNCTION; Schema: public

CREATE FUNCTION public.key_state(p_tenant text, p_key text, p_hash bytea) RETURNS TABLE(secret_hash bytea, name text, agent_id text, rate_limit jsonb, role text, scopes text[], subject text, channels text[], created_by text, expires_at timestamp with time zone)
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_column
begin
  perform enter_tenant(p_tenant);
  update api_keys k set used_at = now()
  where k.tenant_id = p_tenant and k.key_id = p_key and k.secret_hash = p_hash and k.revoked_at is null
    and (k.used_at is null or k.used_at < now() - interval '5 minutes');
  return query
  select
    k.secret_hash, k.name, k.agent_id,
    -- an admin gave it: without one behind it the key shares its maker's
    case when k.rate_max is not null and may_administer(p_tenant, k.created_by, 'admin') then jsonb_build_object('max', k.rate_max, 'window_ms', k.rate_window_ms) end,
    n.role, k.scopes, k.user_id, k.channels, k.created_by, k.expires_at
  from api_keys k
  cross join lateral (select effective_key_role(k) as role) n
  where k.tenant_id = p_tenant and k.key_id = p_key and n.role is not null;
end $$;

-- Name: let_back_up(regclass); Type: FUNCTION; Schema: public

CREATE FUNCTION public.let_back_up(p_table regclass) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
  execute format('grant select on %s to agent_memory_backup', p_table);
  if exists (select from pg_class c where c.oid = p_table and c.relrowsecurity) then
    -- A policy counts for all who inherit its role, so for the owner too, who is to stay behind the wall until the role is taken on.
    execute format(
      'create policy backup_reads on %s for select to agent_memory_backup using ((select current_user) = ''agent_memory_backup'')', p_table);
  end if;
end $$;

-- Name: let_erase(regclass); Type: FUNCTION; Schema: public

CREATE FUNCTION public.let_erase(p_table regclass) RETURNS void
    LANGUAGE plpgsql
    AS $$
declare
  v_rule text := 'tenant_id = (select tenant_deleting())';
begin
  if p_table = 'tenants'::regclass then
    v_rule := 'tenant_id = (select current_tenant()) and state = ''deleting''';
  end if;
  execute format('create policy eraser_finds on %s for select to agent_memory_eraser using (%s)', p_table, v_rule);
  execute format('create policy eraser_deletes on %s for delete to agent_memory_eraser using (%s)', p_table, v_rule);
  execute format('grant select, delete on %s to agent_memory_eraser', p_table);
end $$;

-- Name: let_undo(regclass); Type: FUNCTION; Schema: public

CREATE FUNCTION public.let_undo(p_table regclass) RETURNS void
    LANGUAGE plpgsql
    AS $$
declare
  v_rule constant text := 'tenant_id = (select current_tenant()) and (select is_importing())';
begin
  execute format('create policy undo_finds on %s for select to agent_memory_eraser using (%s)', p_table, v_rule);
  execute format('create policy undo_deletes on %s for delete to agent_memory_eraser using (%s)', p_table, v_rule);
end $$;

-- Name: list_due_jobs(integer, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.list_due_jobs(p_per_tenant integer, p_limit integer) RETURNS TABLE(tenant_id text, job_id text)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
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

ALTER FUNCTION public.list_due_jobs(p_per_tenant integer, p_limit integer) OWNER TO agent_memory_overseer;

-- Name: list_due_webhooks(integer, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.list_due_webhooks(p_per_tenant integer, p_limit integer) RETURNS TABLE(tenant_id text, webhook_id text, slow boolean)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
  select d.tenant_id, d.webhook_id, d.slow
  from (values (false), (true)) k (slow)
  cross join lateral (
    select r.tenant_id, r.webhook_id, r.slow, r.due_at
    from (
      select f.*, row_number() over (partition by f.tenant_id order by f.due_at) as nth
      from (
        select w.tenant_id, w.webhook_id, w.slow, w.due_at
        from public.webhooks w
        where w.active and w.slow = k.slow and w.due_at <= now() and (w.lease_until is null or w.lease_until < now())
          and exists (select from public.tenants t where t.tenant_id = w.tenant_id and t.state = 'active')
        order by w.due_at
        limit 10 * p_limit
      ) f
    ) r
    where r.nth <= p_per_tenant
    order by r.due_at
    limit p_limit
  ) d
  order by d.due_at
$$;

ALTER FUNCTION public.list_due_webhooks(p_per_tenant integer, p_limit integer) OWNER TO agent_memory_overseer;

-- Name: list_lagging_webhooks(text[]); Type: FUNCTION; Schema: public

CREATE FUNCTION public.list_lagging_webhooks(p_tenants text[]) RETURNS TABLE(tenant_id text, grown text[])
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
#variable_conflict use_column
begin
  return query
  select w.tenant_id, array_agg(w.webhook_id) filter (where w.due_at is null and c.last_seq > w.cursor and t.state = 'active')
  from public.webhooks w
  join public.tenant_clocks c on c.tenant_id = w.tenant_id
  join public.tenants t on t.tenant_id = w.tenant_id
  where w.active and (p_tenants is null or w.tenant_id = any (p_tenants))
  group by w.tenant_id;
end $$;

ALTER FUNCTION public.list_lagging_webhooks(p_tenants text[]) OWNER TO agent_memory_overseer;

-- Name: portable_columns(text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.portable_columns(p_relation text) RETURNS TABLE(name text, type text, needed boolean)
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT (a.attname)::text AS attname,
     format_type(a.atttypid, a.atttypmod) AS format_type,
     a.attnotnull
    FROM pg_attribute a
   WHERE ((a.attrelid = (to_regclass(portable_columns.p_relation))::oid) AND (a.attnum > 0) AND (NOT a.attisdropped) AND (a.attgenerated = ''::"char") AND (a.attname <> 'tenant_id'::name) AND (NOT ((a.atttypid = ('bytea'::regtype)::oid) AND (a.attstorage = 'e'::"char"))))
   ORDER BY a.attnum;
END;

-- Name: portable_tables; Type: TABLE; Schema: public

CREATE TABLE public.portable_tables (
    part text NOT NULL,
    place integer NOT NULL,
    relation text NOT NULL,
    keys text[] NOT NULL,
    bound text,
    weight text
);

-- Name: portable_parts(); Type: FUNCTION; Schema: public

CREATE FUNCTION public.portable_parts() RETURNS TABLE(part text, place integer, relation text, keys text[], bound text, weight text, has_bytes boolean)
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT p.part,
     (row_number() OVER (ORDER BY (p.bound IS NOT NULL), (NOT b.has_bytes), p.place))::integer AS row_number,
     p.relation,
     p.keys,
     p.bound,
     COALESCE(p.weight, '0'::text) AS "coalesce",
     b.has_bytes
    FROM (public.portable_tables p
      CROSS JOIN LATERAL ( SELECT (EXISTS ( SELECT
                    FROM pg_attribute a
                   WHERE ((a.attrelid = (to_regclass(p.relation))::oid) AND (a.atttypid = ('bytea'::regtype)::oid) AND (a.attstorage = 'e'::"char") AND (NOT a.attisdropped)))) AS has_bytes) b)
   ORDER BY ((row_number() OVER (ORDER BY (p.bound IS NOT NULL), (NOT b.has_bytes), p.place))::integer);
END;

-- Name: list_parts(); Type: FUNCTION; Schema: public

CREATE FUNCTION public.list_parts() RETURNS TABLE(part text, keys text[], changes boolean, has_bytes boolean, times text[], needed_times text[])
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT p.part,
     p.keys,
     (p.bound IS NULL),
     p.has_bytes,
     ARRAY( SELECT c.name
            FROM public.portable_columns(p.relation) c(name, type, needed)
           WHERE (c.type = 'timestamp with time zone'::text)) AS "array",
     ARRAY( SELECT c.name
            FROM public.portable_columns(p.relation) c(name, type, needed)
           WHERE ((c.type = 'timestamp with time zone'::text) AND c.needed)) AS "array"
    FROM public.portable_parts() p(part, place, relation, keys, bound, weight, has_bytes)
   ORDER BY p.place;
END;

-- Name: list_shared(text, text, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.list_shared(p_tenant text, p_job text, p_limit integer) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    AS $_$
declare
  v_noun text;
  v_events text[];
  v_kept jsonb;
  v_more jsonb;
begin
  perform enter_tenant(p_tenant);
  v_events := array(
    select k.id
    from erasure_marks k
    where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'shared' and not exists (
      select from erasure_marks o where o.tenant_id = p_tenant and o.job_id = p_job and o.what = 'event' and o.id = k.id)
    order by k.seq);
  v_kept := jsonb_build_object('events', cardinality(v_events), 'event_ids', to_jsonb(v_events[1:p_limit]));
  for v_noun in select * from hooks('kept') loop
    execute format('select %I($1, $2, $3)', v_noun || '_kept') into v_more using p_tenant, p_job, p_limit;
    v_kept := v_kept || v_more;
  end loop;
  return v_kept;
end $_$;

-- Name: list_tenants(text, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.list_tenants(p_after text, p_limit integer) RETURNS TABLE(tenant_id text, state text)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$ select t.tenant_id, t.state from public.tenants t where t.tenant_id > p_after order by t.tenant_id limit p_limit $$;

ALTER FUNCTION public.list_tenants(p_after text, p_limit integer) OWNER TO agent_memory_overseer;

-- Name: lock_memory(text, text, integer, text[], jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.lock_memory(p_tenant text, p_memory_id text, p_version integer, p_statuses text[], p_unit jsonb) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
declare
  v_memory memories;
begin
  perform enter_tenant(p_tenant);
  perform from tenant_clocks c where c.tenant_id = p_tenant for update;
  if exists (select from idempotency_keys k where k.tenant_id = p_tenant and k.key_hash = decode(p_unit ->> 'key', 'hex')) then
    return false;
  end if;
  select * into v_memory from memories m where m.tenant_id = p_tenant and m.memory_id = p_memory_id;
  if not found then
    raise exception 'there is no memory with this id' using errcode = 'AM404';
  end if;
  if v_memory.version <> p_version then
    raise exception 'the memory has version %', v_memory.version using errcode = 'AM412';
  end if;
  if not v_memory.status = any (p_statuses) then
    raise exception 'the memory is %', v_memory.status using errcode = 'AM409';
  end if;
  return true;
end $$;

-- Name: log_begin(text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.log_begin(p_tenant text) RETURNS bigint
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN (c.importing IS NULL) THEN c.oldest_seq
             ELSE ( SELECT e.seq
                FROM public.events e
               WHERE ((e.tenant_id = log_begin.p_tenant) AND (e.carried_at IS NULL))
               ORDER BY e.seq
              LIMIT 1)
         END AS seq
    FROM public.tenant_clocks c
   WHERE (c.tenant_id = log_begin.p_tenant);
END;

-- Name: make_memories(text, public.effect[], timestamp with time zone); Type: FUNCTION; Schema: public

CREATE FUNCTION public.make_memories(p_tenant text, p_effects public.effect[], p_at timestamp with time zone) RETURNS public.memory_effect[]
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
declare
  -- as long as p_effects: the first that is assigned to an array without bounds becomes its first
  v_superseded text[] := array_fill(null::text, array[cardinality(p_effects)]);
  v_resolved memory_effect[];
  v_effect record;
begin
  perform expire_targets(p_tenant, p_effects);
  for v_effect in
    select f.ordinality as ordinal, f.seq, f.doc ->> 'supersedes' as ref
    from unnest(p_effects) with ordinality f
    where f.doc ? 'supersedes'
    order by f.ordinality
  loop
    v_superseded[v_effect.ordinal] := supersede(p_tenant, v_effect.ref, v_effect.seq);
  end loop;
  v_resolved := resolve_effects(p_tenant, p_effects, v_superseded);
  if exists (select from unnest(v_resolved) w where w.only_new and (w.current_version is not null or w.nth > 1)) then
    raise exception 'The memory already exists.' using errcode = 'AM412';
  end if;
  perform write_memory_effects(p_tenant, v_resolved, p_at);
  if cardinality(array_remove(v_superseded, null)) > 0 then
    update memories m set superseded_by = w.target_id
    from unnest(v_resolved) w
    where m.tenant_id = p_tenant and m.memory_id = w.superseded_id;
  end if;
  if exists (select from unnest(v_resolved) w where w.kind = 'task') then
    perform apply_task_updates(p_tenant, array(select w.target_id from unnest(v_resolved) w), (p_effects[1]).seq);
  end if;
  return v_resolved;
end $$;

-- Name: make_tenant(text, bigint); Type: FUNCTION; Schema: public

CREATE FUNCTION public.make_tenant(p_tenant text, p_max_bytes bigint) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
begin
  insert into tenants (tenant_id) values (p_tenant) on conflict do nothing;
  if not found then
    return false;
  end if;
  insert into tenant_clocks (tenant_id, max_bytes) values (p_tenant, p_max_bytes);
  return true;
end $$;

-- Name: mark_carried(text, text, bigint[], bigint); Type: FUNCTION; Schema: public

CREATE FUNCTION public.mark_carried(p_tenant text, p_job text, p_seqs bigint[], p_upto bigint) RETURNS void
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
declare
  v_whole bigint[];
  v_ground bigint[];
  v_more text[];
begin
  with said as materialized (
    select v.memory_id, min(v.seq) as first
    from memory_versions v
    where v.tenant_id = p_tenant and v.seq = any (p_seqs) and v.seq <= p_upto and v.status <> 'superseded'
    group by v.memory_id
  )
  select array_agg(v.seq) filter (where v.status <> 'superseded'), array_agg(v.seq) filter (where v.status = 'superseded'),
    array_agg(distinct s.memory_id) filter (where not exists (
      select from erasure_marks k where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'hold' and k.id = s.memory_id))
  into v_whole, v_ground, v_more
  from said s join memory_versions v on v.tenant_id = p_tenant and v.memory_id = s.memory_id and v.seq >= s.first;
  perform mark_seqs(p_tenant, p_job, 'carry', p_seqs || v_whole, p_upto);
  perform mark_seqs(p_tenant, p_job, 'ground', v_ground, p_upto);
  if v_more is not null then
    perform mark_kept_memories(p_tenant, p_job, v_more, p_upto);
  end if;
end $$;

-- Name: mark_due_webhooks(text[]); Type: FUNCTION; Schema: public

CREATE FUNCTION public.mark_due_webhooks(p_tenants text[]) RETURNS SETOF text
    LANGUAGE plpgsql
    AS $$
declare
  v_of record;
begin
  for v_of in select g.tenant_id, g.grown from list_lagging_webhooks(p_tenants) g loop
    if v_of.grown is not null then
      perform enter_tenant(v_of.tenant_id);
      update webhooks w set due_at = clock_timestamp()
      where w.tenant_id = v_of.tenant_id and w.webhook_id = any (array(
        select l.webhook_id from webhooks l
        where l.tenant_id = v_of.tenant_id and l.webhook_id = any (v_of.grown) and l.active and l.due_at is null
        for update skip locked));
    end if;
    return next v_of.tenant_id;
  end loop;
end $$;

-- Name: mark_expired(text, text, jsonb, timestamp with time zone, bigint, bigint); Type: FUNCTION; Schema: public

CREATE FUNCTION public.mark_expired(p_tenant text, p_job text, p_rules jsonb, p_now timestamp with time zone, p_from bigint, p_to bigint) RETURNS void
    LANGUAGE plpgsql
    AS $_$
declare
  v_noun text;
  v_seqs bigint[];
begin
  with named as materialized (
    select e.seq, r.max_importance
    from events e
    join jsonb_to_recordset(p_rules) r (kind text, channel text, older_than_days numeric, max_importance numeric)
      on e.created_at < p_now - interval '1 day' * r.older_than_days::float8
      and (r.channel is null or r.channel = e.channel)
      and (r.kind is null or r.kind = e.kind or (e.kind like 'memory.%' and e.content ->> 'kind' = r.kind))
    where e.tenant_id = p_tenant and e.seq >= p_from and e.seq <= p_to
      and e.erased_at is null and e.kind not in ('erasure.completed', 'retention.forgot')
      and not exists (select from erasure_marks k where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'pin' and k.id = e.event_id)
  ),
  held as materialized (
    select h.seq, bool_or(h.live) as live, max(h.importance) as importance
    from held_among(p_tenant, array(select distinct n.seq from named n)) h
    group by h.seq
  )
  select array_agg(distinct n.seq) into v_seqs
  from named n left join held h on h.seq = n.seq
  where case when n.max_importance is null then h.live is not true else coalesce(h.importance <= n.max_importance, true) end;
  perform mark_seqs(p_tenant, p_job, 'event', v_seqs);
  for v_noun in select * from hooks('lapse') loop
    execute format('select %I($1, $2, $3)', v_noun || '_lapse') using p_tenant, p_job, v_seqs;
  end loop;
end $_$;

-- Name: mark_grounding(text, text, public.memories, bigint); Type: FUNCTION; Schema: public

CREATE FUNCTION public.mark_grounding(p_tenant text, p_job text, p_memory public.memories, p_upto bigint) RETURNS void
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
declare
  v_refs text[] := array(
    select g.ref from memory_refs(p_tenant, p_memory.memory_id, p_memory.content_seq) g order by g.seq desc, g.place, g.ref);
  v_seen text[] := array[p_memory.memory_id];
  v_memories text[];
  v_found boolean;
begin
  if p_memory.pinned then
    perform mark_kept_memories(p_tenant, p_job, array(
      select m.memory_id from unnest(v_refs) r (ref) join memories m on m.tenant_id = p_tenant and m.memory_id = memory_of(p_tenant, r.ref)), p_upto);
  end if;
  for depth in 1 .. 4 loop
    exit when coalesce(cardinality(v_refs), 0) = 0;
    exit when mark_sources(p_tenant, p_job, v_refs, p_memory.pinned and depth = 1, p_upto);
    select coalesce(array_agg(g.memory_id), '{}'), coalesce(bool_or(is_act(g.kind)), false) into v_memories, v_found
    from grounding_memories(p_tenant, v_refs, v_seen) g;
    perform mark_kept_memories(p_tenant, p_job, v_memories, p_upto);
    exit when v_found or cardinality(v_seen) > 64;
    v_seen := v_seen || v_memories;
    v_refs := array(select g.ref from refs_of_memories(p_tenant, v_memories) g);
  end loop;
end $$;

-- Name: mark_ids(text, text, text, text[]); Type: FUNCTION; Schema: public

CREATE FUNCTION public.mark_ids(p_tenant text, p_job text, p_what text, p_ids text[]) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
declare
  v_new bigint;
begin
  insert into erasure_marks (tenant_id, job_id, what, id)
  select p_tenant, p_job, p_what, i.id from unnest(p_ids) i (id)
  on conflict do nothing;
  get diagnostics v_new = row_count;
  return v_new;
end $$;

-- Name: mark_import(text, text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.mark_import(p_tenant text, p_import text) RETURNS void
    LANGUAGE sql
    BEGIN ATOMIC
 UPDATE public.tenant_clocks AS c SET importing = mark_import.p_import
   WHERE (c.tenant_id = mark_import.p_tenant);
END;

-- Name: mark_kept_memories(text, text, text[], bigint); Type: FUNCTION; Schema: public

CREATE FUNCTION public.mark_kept_memories(p_tenant text, p_job text, p_memory_ids text[], p_upto bigint) RETURNS void
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
declare
  v_said bigint[] := array(
    select v.seq
    from unnest(p_memory_ids) h (id)
    join memories m on m.tenant_id = p_tenant and m.memory_id = h.id
    join memory_versions v on v.tenant_id = p_tenant and v.memory_id = m.memory_id and v.seq >= m.content_seq and v.status <> 'superseded');
begin
  perform mark_ids(p_tenant, p_job, 'hold', p_memory_ids);
  perform mark_carried(p_tenant, p_job, v_said || array(
    select d.seq
    from edit_events x join edits d on d.tenant_id = p_tenant and d.edit_id = x.edit_id
    where x.tenant_id = p_tenant and x.seq = any (v_said)), p_upto);
end $$;

-- Name: mark_kin(text, text, text[], bigint); Type: FUNCTION; Schema: public

CREATE FUNCTION public.mark_kin(p_tenant text, p_job text, p_memory_ids text[], p_upto bigint) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
  perform mark_seqs(p_tenant, p_job, 'kin', array(
    with said as materialized (
      select v.memory_id, e.seq, e.erased_at is null and e.artifact_id is null as stands, k.id is not null as is_shared
      from memory_versions v
      join events e on e.tenant_id = p_tenant and e.seq = v.seq
      left join erasure_marks k on k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'shared' and k.id = e.event_id
      where v.tenant_id = p_tenant and v.memory_id = any (p_memory_ids) and v.seq <= p_upto
    )
    select distinct s.seq
    from said s
    where s.stands and not s.is_shared and s.memory_id in (select o.memory_id from said o where o.is_shared)));
end $$;

-- Name: mark_needed_memories(text, text, text[], bigint); Type: FUNCTION; Schema: public

CREATE FUNCTION public.mark_needed_memories(p_tenant text, p_job text, p_memory_ids text[], p_upto bigint) RETURNS void
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
declare
  v_memory memories;
begin
  for v_memory in select * from memories m where m.tenant_id = p_tenant and m.memory_id = any (p_memory_ids) loop
    perform mark_kept_memories(p_tenant, p_job, array[v_memory.memory_id], p_upto);
    if v_memory.pinned or not is_act(v_memory.kind) then
      perform mark_grounding(p_tenant, p_job, v_memory, p_upto);
    end if;
  end loop;
end $$;

-- Name: mark_needs(text, text, bigint, bigint, jsonb, bigint, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.mark_needs(p_tenant text, p_job text, p_upto bigint, p_new bigint, p_needed jsonb, p_until bigint, p_limit integer) RETURNS TABLE(needed jsonb, done boolean)
    LANGUAGE plpgsql
    AS $_$
declare
  v_noun text;
  v_last bigint;
begin
  needed := p_needed;
  done := true;
  for v_noun in select * from hooks('needs') loop
    v_last := coalesce((needed ->> v_noun)::bigint, 0);
    continue when v_last >= p_until;
    execute format('select %I($1, $2, $3, $4, $5, $6)', v_noun || '_needs') into v_last
    using p_tenant, p_job, p_upto, p_new, v_last, p_limit;
    if v_last is not null then
      needed := needed || jsonb_build_object(v_noun, v_last);
      done := done and v_last >= p_until;
    end if;
  end loop;
  return next;
end $_$;

-- Name: mark_seqs(text, text, text, bigint[], bigint); Type: FUNCTION; Schema: public

CREATE FUNCTION public.mark_seqs(p_tenant text, p_job text, p_what text, p_seqs bigint[], p_upto bigint DEFAULT NULL::bigint) RETURNS bigint[]
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
declare
  v_new bigint[];
begin
  with made as (
    insert into erasure_marks (tenant_id, job_id, what, id, seq)
    select p_tenant, p_job, p_what, e.event_id, s.seq
    from unnest(p_seqs) s (seq)
    -- `offset 0` keeps it a look-up of each: a plan without statistics read all events of the tenant for each batch
    cross join lateral (select x.event_id from events x where x.tenant_id = p_tenant and x.seq = s.seq offset 0) e
    where p_upto is null or s.seq <= p_upto
    on conflict do nothing
    returning seq
  )
  select coalesce(array_agg(m.seq), '{}') into v_new from made m;
  return v_new;
end $$;

-- Name: mark_sources(text, text, text[], boolean, bigint); Type: FUNCTION; Schema: public

CREATE FUNCTION public.mark_sources(p_tenant text, p_job text, p_refs text[], p_whole boolean, p_upto bigint) RETURNS boolean
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
declare
  v_whole bigint[];
  v_ground bigint[];
begin
  select array_agg(s.seq) filter (where s.whole), array_agg(s.seq) filter (where not s.whole) into v_whole, v_ground
  from (
    select s.seq, bool_or(p_whole or s.ref ~ '^art_') as whole
    from existing_sources(p_tenant, p_refs) s
    group by s.seq
  ) s;
  perform mark_seqs(p_tenant, p_job, 'ground', v_ground, p_upto);
  perform mark_carried(p_tenant, p_job, v_whole, p_upto);
  return coalesce(v_whole, v_ground) is not null;
end $$;

-- Name: mark_subject_events(text, text, jsonb, text, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.mark_subject_events(p_tenant text, p_job text, p_erasure jsonb, p_after text, p_limit integer) RETURNS TABLE(last text, counts jsonb)
    LANGUAGE plpgsql
    AS $$
declare
  v_kind text := p_erasure ->> 'kind';
  v_subject text := p_erasure ->> 'subject';
  v_users text[] := array(select jsonb_array_elements_text(p_erasure -> 'users'));
  v_upto bigint := (p_erasure ->> 'upto')::bigint;
  v_from bigint := coalesce(nullif(p_after, '')::bigint, 0) + 1;
  v_to bigint := least(v_upto, v_from + p_limit * 20 - 1);
  v_own bigint[];
  v_citing bigint[];
  v_shared bigint[] := '{}';
begin
  select array_agg(e.seq) filter (where own), array_agg(e.seq) filter (where not own) into v_own, v_citing
  from events e
  -- null: the event is about nobody
  cross join lateral (select belongs_to_subject(e, v_kind, v_subject, v_users) is true) o (own)
  where e.tenant_id = p_tenant and e.seq >= v_from and e.seq <= v_to and e.kind not in ('erasure.completed', 'retention.forgot')
    and (own or v_subject = any (e.refs));
  if (p_erasure ->> 'keep_shared')::boolean then
    v_shared := retained_among(p_tenant, v_own);
    perform mark_seqs(p_tenant, p_job, 'shared', v_shared);
    v_own := array(select unnest(v_own) except select unnest(v_shared));
  end if;
  perform mark_seqs(p_tenant, p_job, 'event', v_own);
  perform mark_seqs(p_tenant, p_job, 'ref', v_citing);
  perform mark_ids(p_tenant, p_job, 'artifact', array(
    select e.artifact_id
    from unnest(v_own) s (seq)
    cross join lateral (select x.artifact_id from events x where x.tenant_id = p_tenant and x.seq = s.seq offset 0) e
    where e.artifact_id is not null));
  last := case when v_to < v_upto then v_to::text end;
  counts := '{}';
  return next;
end $$;

-- Name: erasure_marks; Type: TABLE; Schema: public

CREATE TABLE public.erasure_marks (
    tenant_id text NOT NULL,
    job_id text NOT NULL,
    what text NOT NULL,
    id text NOT NULL,
    seq bigint
);

ALTER TABLE ONLY public.erasure_marks FORCE ROW LEVEL SECURITY;

-- Name: marked_accounts(text, text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.marked_accounts(p_tenant text, p_job text) RETURNS text[]
    LANGUAGE sql STABLE
    RETURN ARRAY(SELECT k.id FROM public.erasure_marks k WHERE ((k.tenant_id = marked_accounts.p_tenant) AND (k.job_id = marked_accounts.p_job) AND (k.what = 'user'::text)));

-- Name: mask_expression(integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.mask_expression(p_count integer) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN COALESCE((SELECT string_agg(format('case when $2[%s] = any (c.terms) then %s else 0 end'::text, i.i, (1 << (i.i - 1))), ' + '::text) AS string_agg FROM generate_series(1, mask_expression.p_count) i(i)), '0'::text);

-- Name: may_administer(text, text, text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.may_administer(p_tenant text, p_maker text, p_role text) RETURNS boolean
    LANGUAGE sql STABLE
    AS $$
  select coalesce(role_rank(active_role(p_tenant, p_maker)) >= greatest(role_rank(p_role), role_rank('admin')), false)
$$;

-- Name: may_register(text, boolean, text, bytea, text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.may_register(p_tenant text, p_open boolean, p_invite text, p_hash bytea, p_username text) RETURNS text
    LANGUAGE plpgsql
    AS $$
begin
  perform enter_tenant(p_tenant);
  if p_invite is null then
    return case when p_open and not exists (select from tenants t where t.tenant_id = p_tenant) then 'ok' else 'refused' end;
  elsif not exists (select from valid_invite(p_tenant, p_invite, p_hash, p_username)) then
    return 'refused';
  end if;
  return case when username_taken(p_tenant, p_username) then 'taken' else 'ok' end;
end $$;

-- Name: measure_log(text, bigint, bigint); Type: FUNCTION; Schema: public

CREATE FUNCTION public.measure_log(p_tenant text, p_from bigint, p_to bigint) RETURNS bigint
    LANGUAGE plpgsql STABLE
    AS $_$
declare
  v_noun text;
  v_bytes bigint := coalesce((
    select sum(octet_length(e.content::text) + octet_length(e.metadata::text) + 400)
    from events e where e.tenant_id = p_tenant and e.seq between p_from and p_to), 0);
  v_more bigint;
begin
  for v_noun in select * from hooks('measure') loop
    execute format('select %I($1, $2, $3)', v_noun || '_measure') into v_more using p_tenant, p_from, p_to;
    v_bytes := v_bytes + v_more;
  end loop;
  return v_bytes;
end $_$;

-- Name: measure_range(text, bigint, bigint); Type: FUNCTION; Schema: public

CREATE FUNCTION public.measure_range(p_tenant text, p_from bigint, p_to bigint) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
begin
  perform enter_tenant(p_tenant);
  return measure_log(p_tenant, p_from, p_to);
end $$;

-- Name: member_of(jsonb, text, text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.member_of(p_content jsonb, p_name text, p_type text) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN (jsonb_typeof((p_content -> p_name)) = p_type) THEN (p_content -> p_name) ELSE NULL::jsonb END;

-- Name: memories_apply(text, public.effect[], public.prepared[], timestamp with time zone); Type: FUNCTION; Schema: public

CREATE FUNCTION public.memories_apply(p_tenant text, p_effects public.effect[], p_prepared public.prepared[], p_at timestamp with time zone) RETURNS public.answer[]
    LANGUAGE plpgsql
    AS $$
declare
  v_resolved memory_effect[] := make_memories(p_tenant, p_effects, p_at);
begin
  perform apply_repeats(p_tenant, v_resolved);
  -- no version names the memory of what is only counted
  return array(
    select row('memories', w.unit, w.event, jsonb_build_object('memory_id', w.target_id, 'counted', w.counted), w.counted)::answer
    from unnest(v_resolved) w);
end $$;

-- Name: memories_as_of(text, jsonb, jsonb, bigint, text[], integer[], text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.memories_as_of(p_tenant text, p_scope jsonb, p_request jsonb, p_last bigint, p_kinds text[], p_limits integer[], p_status text) RETURNS TABLE(memory public.memories, content_seq bigint)
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
declare
  v_as_of timestamptz := p_scope ->> 'as_of';
begin
  return query
  with changed as (
    select distinct on (v.memory_id) v.memory_id, v.content_seq, v.status
    from memory_versions v
    where v.tenant_id = p_tenant and v.seq <= p_last
      and v.memory_id in (
        select w.memory_id
        from memory_versions w
        where w.tenant_id = p_tenant and (v_as_of is not null or w.seq > p_last)
        order by w.seq desc
        limit 20000)
      and (v_as_of is null or exists (
        select from events e where e.tenant_id = p_tenant and e.seq = v.seq and e.occurred_at <= v_as_of))
    order by v.memory_id, v.version desc
  ),
  past as (
    select m, c.content_seq as seq
    from changed c join memories m on m.tenant_id = p_tenant and m.memory_id = c.memory_id
    where c.status = p_status and m.kind = any (p_kinds)
      and (m.status <> 'deleted' or (p_scope ->> 'deleted')::boolean)
      and (p_status <> 'active' or m.expires_at is null or m.expires_at > coalesce(v_as_of, now()))
      and applies_to(m, p_scope, p_request)
      and exists (
        select from seen_events(p_tenant, p_scope) e
        where e.seq = c.content_seq and (m.kind <> 'task' or coalesce(e.content #>> '{body,status}', e.content ->> 'status') <> 'done'))
  ),
  held as (
    select u as m, u.content_seq as seq
    from memories_unchanged_since(p_tenant, p_scope, p_request, p_last, p_kinds, p_limits, p_status) u
    where v_as_of is null
    union all
    select p.m, p.seq from past p
  )
  select distinct on ((h.m).memory_id) h.m, h.seq from held h where is_valid_at(h.m, coalesce(v_as_of, now()));
end $$;

-- Name: memories_check(text, bigint, bigint); Type: FUNCTION; Schema: public

CREATE FUNCTION public.memories_check(p_tenant text, p_from bigint, p_to bigint) RETURNS SETOF public.finding
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
declare
  v_first bigint := log_begin(p_tenant);
begin
  return query
  with judged as (
    select c.*, c.until_seq is distinct from c.expected as wrong from compare_passage_ends(p_tenant, p_from, p_to) c
  )
  select 'passage_ends', count(*), count(*) filter (where j.wrong),
    sample_of(jsonb_build_object('seq', j.seq, 'expected', j.expected, 'found', j.until_seq) order by j.seq) filter (where j.wrong), false
  from judged j;

  return query
  with judged as (
    select v.memory_id, v.version, v.seq,
      case
        when not exists (select from memories m where m.tenant_id = p_tenant and m.memory_id = v.memory_id) then 'no such memory'
        when not exists (select from events e where e.tenant_id = p_tenant and e.seq = v.seq) then 'no such event'
        when v.content_seq > v.seq then 'content of a later event'
        when v.content_seq >= v_first and not exists (select from events e where e.tenant_id = p_tenant and e.seq = v.content_seq) then 'no event of its content'
      end as fault
    from memory_versions v
    where v.tenant_id = p_tenant and v.seq between p_from and p_to
  )
  select 'memory_versions', count(*), count(j.fault),
    sample_of(jsonb_build_object('memory_id', j.memory_id, 'version', j.version, 'fault', j.fault) order by j.seq) filter (where j.fault is not null), true
  from judged j;
end $$;

-- Name: memories_check_rows(text, text, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.memories_check_rows(p_tenant text, p_after text, p_limit integer) RETURNS TABLE(name text, checked bigint, wrong bigint, sample jsonb, vital boolean, last text)
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
declare
  v_forgotten boolean := has_forgotten(p_tenant);
begin
  return query
  with page as materialized (
    select m.*, m as stood from memories m where m.tenant_id = p_tenant and m.memory_id > p_after order by m.memory_id limit p_limit
  ),
  judged as (
    select m.memory_id,
      case
        when s.n is null then 'no version'
        when not s.rising or (s.n <> s.version and not v_forgotten) then 'its versions are not dense'
        when m.version <> s.version then 'another version'
        when m.last_seq <> s.seq or m.content_seq <> s.content_seq then 'another event'
        -- an active one expires without an event
        when m.status <> s.status and not (m.status = 'expired' and s.status = 'active') then 'another status'
        when m.stood is distinct from memory_from_content(m.stood) then 'another content'
      end as fault
    from page m left join lateral newest_version(p_tenant, m.memory_id) s on true
  ),
  followed as (
    select m.memory_id, m.superseded_by, x.expected, is_wrong_successor(m.stood, x.expected) as wrong
    from page m
    cross join lateral (select case when m.status = 'superseded' then successor_of(p_tenant, m.memory_id) end as expected) x
  )
  select 'memories', count(*), count(j.fault),
    sample_of(jsonb_build_object('memory_id', j.memory_id, 'fault', j.fault) order by j.memory_id) filter (where j.fault is not null), true, max(j.memory_id)
  from judged j
  union all
  select 'superseded_by', count(*), count(*) filter (where f.wrong),
    sample_of(jsonb_build_object('memory_id', f.memory_id, 'expected', f.expected, 'found', f.superseded_by) order by f.memory_id) filter (where f.wrong),
    true, max(f.memory_id)
  from followed f;
end $$;

-- Name: memories_edited(text, public.edits); Type: FUNCTION; Schema: public

CREATE FUNCTION public.memories_edited(p_tenant text, p_edit public.edits) RETURNS void
    LANGUAGE sql
    AS $$
  update memories m set doing_agent = null
  from overlays o
  where m.tenant_id = p_tenant and m.memory_id = p_edit.memory_id and m.doing_agent is not null
    and o.tenant_id = p_tenant and o.seq = m.content_seq and is_quarantined(o.blocked_in)
$$;

-- Name: memories_expire(text, text, bigint, boolean); Type: FUNCTION; Schema: public

CREATE FUNCTION public.memories_expire(p_tenant text, p_job text, p_by bigint, p_dry boolean) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
declare
  v_marked text[] := array(select k.id from erasure_marks k where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'memory');
  v_held text[];
begin
  if p_dry then
    return jsonb_build_object('memories', cardinality(v_marked));
  end if;
  v_held := array(select m.memory_id from memories m where m.tenant_id = p_tenant and m.memory_id = any (v_marked) and is_current_memory(m));
  perform end_memory(p_tenant, h.id, 'expired', p_by) from unnest(v_held) h (id);
  return jsonb_build_object('memories', cardinality(v_held));
end $$;

-- Name: memories_forget(text, text, jsonb, text, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.memories_forget(p_tenant text, p_job text, p_erasure jsonb, p_after text, p_limit integer) RETURNS TABLE(last text, counts jsonb)
    LANGUAGE plpgsql
    AS $$
declare
  v_dry boolean := p_erasure ? 'dry_run';
  v_event_ids text[] := array(select jsonb_array_elements_text(p_erasure -> 'event_ids'));
  v_gone text[];
  v_kept text[];
begin
  if not v_dry then
    perform from tenant_clocks c where c.tenant_id = p_tenant for update;
  end if;
  -- `keep` sorts before `memory`: those that lose a citation are done while the others' ids are still known
  select array_agg(n.id) filter (where n.what = 'memory'), array_agg(n.id order by n.id) filter (where n.what = 'keep'), max(n.what || '/' || n.id)
  into v_gone, v_kept, last
  from (
    select k.what, k.id, coalesce(sum(m.version) over (order by k.what || '/' || k.id rows between unbounded preceding and 1 preceding), 0) as before
    from erasure_marks k left join memories m on m.tenant_id = p_tenant and m.memory_id = k.id
    where k.tenant_id = p_tenant and k.job_id = p_job and k.what in ('keep', 'memory') and k.what || '/' || k.id > p_after
    order by k.what || '/' || k.id
    limit case when v_dry then p_limit else least(p_limit, cardinality(v_event_ids)) end
  ) n
  -- whoever writes waits for this: not for more than some thousand versions, and one memory
  where n.before < 2000;
  counts := jsonb_build_object(
    'memories', coalesce(cardinality(v_gone), 0),
    'memory_versions', (
      select coalesce(sum(v.n), 0)
      from unnest(v_gone) g (id)
      -- one by one, each is a look-up
      cross join lateral (select count(*) as n from memory_versions w where w.tenant_id = p_tenant and w.memory_id = g.id) v),
    'memories_kept', coalesce(cardinality(v_kept), 0));
  if not v_dry then
    for i in 1 .. coalesce(cardinality(v_kept), 0) loop
      perform keep_memory(p_tenant, p_job, v_kept[i], v_event_ids[i]);
    end loop;
    perform drop_memories(p_tenant, v_gone);
  end if;
  return next;
end $$;

-- Name: memories_held(text, bigint[]); Type: FUNCTION; Schema: public

CREATE FUNCTION public.memories_held(p_tenant text, p_seqs bigint[]) RETURNS TABLE(seq bigint, live boolean, importance numeric)
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT v.seq,
     ((v.seq >= m.content_seq) AND public.is_current_memory(m."row")),
     (m.importance)::numeric AS importance
    FROM ((unnest(memories_held.p_seqs) s(seq)
      CROSS JOIN LATERAL ( SELECT w.tenant_id,
             w.memory_id,
             w.version,
             w.seq,
             w.content_seq,
             w.status
            FROM public.memory_versions w
           WHERE ((w.tenant_id = memories_held.p_tenant) AND (w.seq = s.seq))
          OFFSET 0) v)
      CROSS JOIN LATERAL ( SELECT n.*::public.memories AS "row",
             n.content_seq,
             n.importance
            FROM public.memories n
           WHERE ((n.tenant_id = memories_held.p_tenant) AND (n.memory_id = v.memory_id))
          OFFSET 0) m);
END;

-- Name: memories_judge(text, jsonb, timestamp with time zone); Type: FUNCTION; Schema: public

CREATE FUNCTION public.memories_judge(p_tenant text, p_units jsonb, p_at timestamp with time zone) RETURNS SETOF public.judgement
    LANGUAGE plpgsql
    AS $$
begin
  -- nearly always nothing is said that often
  if not exists (select from memories m where m.tenant_id = p_tenant and m.worn)
    and (select sum(jsonb_array_length(u.doc -> 'events')) from jsonb_array_elements(p_units) u (doc)) <= 256 then
    return;
  end if;
  return query
  select r.unit, null::jsonb, count_only_unit(p_units -> (r.unit - 1), r.ids)
  from (select n.unit, jsonb_object_agg(n.event, n.memory_id) as ids from find_excess_repeats(p_tenant, p_units) n group by n.unit) r;
end $$;

-- Name: memories_kept(text, text, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.memories_kept(p_tenant text, p_job text, p_limit integer) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    AS $$
declare
  v_ids text[] := array(
    select distinct v.memory_id
    from erasure_marks k join memory_versions v on v.tenant_id = p_tenant and v.seq = k.seq
    where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'shared'
      and not exists (
        select from erasure_marks o
        where o.tenant_id = p_tenant and o.job_id = p_job and ((o.what = 'event' and o.id = k.id) or (o.what = 'memory' and o.id = v.memory_id)))
    order by 1);
begin
  return jsonb_build_object('memories', cardinality(v_ids), 'memory_ids', to_jsonb(v_ids[1:p_limit]));
end $$;

-- Name: memories_lapse(text, text, bigint[]); Type: FUNCTION; Schema: public

CREATE FUNCTION public.memories_lapse(p_tenant text, p_job text, p_seqs bigint[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
  perform mark_ids(p_tenant, p_job, 'memory', array(
    select m.memory_id
    from unnest(p_seqs) s (seq) join memories m on m.tenant_id = p_tenant and m.content_seq = s.seq
    where is_current_memory(m)));
end $$;

-- Name: memories_mark(text, text, jsonb, text, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.memories_mark(p_tenant text, p_job text, p_erasure jsonb, p_after text, p_limit integer) RETURNS TABLE(last text, counts jsonb)
    LANGUAGE plpgsql
    AS $$
declare
  v_ids text[];
  v_gone text[];
  v_kept text[];
  v_found bigint;
begin
  -- it locks nothing, and a step that looks at few costs nearly as much; on the embedded engine all wait for it
  select max(j.memory_id), array_agg(j.memory_id), array_agg(j.memory_id) filter (where j.verdict = 'memory'),
    array_agg(j.memory_id) filter (where j.verdict = 'keep')
  into last, v_ids, v_gone, v_kept
  from erasure_verdicts(p_tenant, p_job, p_erasure, p_after, p_limit * 2) j;
  perform unmark_ids(p_tenant, p_job, 'keep', p_after, last);
  perform mark_ids(p_tenant, p_job, 'keep', v_kept);
  v_found := mark_ids(p_tenant, p_job, 'memory', v_gone) + cardinality(mark_seqs(p_tenant, p_job, 'event', array(
    select e.seq
    from unnest(v_gone) g (id)
    -- `offset 0` keeps each a look-up: a plan of a new tenant read all its events for each batch
    cross join lateral (
      select w.seq from memory_versions w where w.tenant_id = p_tenant and w.memory_id = g.id and w.status <> 'superseded' offset 0
    ) v
    cross join lateral (select x.seq from events x where x.tenant_id = p_tenant and x.seq = v.seq and x.erased_at is null offset 0) e)));
  if (p_erasure ->> 'keep_shared')::boolean then
    perform mark_kin(p_tenant, p_job, v_ids, (p_erasure ->> 'upto')::bigint);
  end if;
  counts := jsonb_build_object('found', v_found);
  return next;
end $$;

-- Name: memories_missing(text, text[], text, boolean); Type: FUNCTION; Schema: public

CREATE FUNCTION public.memories_missing(p_tenant text, p_ids text[], p_oldest_id text, p_forgotten boolean) RETURNS TABLE(id text, gone boolean)
    LANGUAGE sql STABLE
    AS $$
  select i.id, p_forgotten
  from unnest(p_ids) i (id)
  -- `limit` keeps it a look-up of each id
  left join lateral (
    select m.memory_id from memories m where m.tenant_id = p_tenant and m.memory_id = i.id limit 1
  ) m on true
  where m.memory_id is null
$$;

-- Name: memories_needs(text, text, bigint, bigint, bigint, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.memories_needs(p_tenant text, p_job text, p_upto bigint, p_new bigint, p_after bigint, p_limit integer) RETURNS bigint
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
declare
  v_seqs bigint[] := array(
    select v.seq from memory_versions v where v.tenant_id = p_tenant and v.seq > p_after order by v.seq limit p_limit);
begin
  perform mark_needed_memories(p_tenant, p_job, array(
    select distinct m.memory_id
    from unnest(v_seqs) s (seq)
    -- `offset 0` keeps each a look-up
    cross join lateral (select * from memory_versions x where x.tenant_id = p_tenant and x.seq = s.seq offset 0) v
    cross join lateral (
      select n.memory_id, n.content_seq, n as row from memories n where n.tenant_id = p_tenant and n.memory_id = v.memory_id offset 0
    ) m
    where v.status in ('active', 'proposed') and v.content_seq = m.content_seq and (v.seq = m.content_seq or v.seq > p_new) and is_current_memory(m.row)
      and not exists (
        select from erasure_marks k where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'memory' and k.id = m.memory_id)), p_upto);
  return v_seqs[cardinality(v_seqs)];
end $$;

-- Name: memory_refs(text, text, bigint, bigint, timestamp with time zone); Type: FUNCTION; Schema: public

CREATE FUNCTION public.memory_refs(p_tenant text, p_memory_id text, p_content_seq bigint, p_last bigint DEFAULT NULL::bigint, p_as_of timestamp with time zone DEFAULT NULL::timestamp with time zone) RETURNS TABLE(ref text, seq bigint, place bigint)
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
#variable_conflict use_column
declare
  -- a task may have thousands of versions before this one
  v_first int := (
    select v.version
    from memory_versions v
    where v.tenant_id = p_tenant and v.seq = p_content_seq and v.memory_id || '' = p_memory_id and v.status <> 'superseded'
    limit 1);
begin
  return query
  with own as materialized (
    select e.seq, e.event_id, e.kind like 'memory.%' as made_it, e.refs
    from memory_versions v
    -- `offset 0` keeps it a look-up of each
    cross join lateral (select * from events e where e.tenant_id = v.tenant_id and e.seq = v.seq offset 0) e
    where v.tenant_id = p_tenant and v.memory_id = p_memory_id and v.version >= coalesce(v_first, 1) and v.content_seq + 0 = p_content_seq
      and v.status in ('active', 'proposed') and (p_last is null or v.seq + 0 <= p_last) and (p_as_of is null or e.occurred_at <= p_as_of)
  ),
  cited as (
    select r.ref, own.seq, r.place
    from own
    cross join lateral unnest(case when own.made_it then own.refs else own.event_id || own.refs end) with ordinality as r (ref, place)
    union all
    select m.memory_id, p_content_seq, 0
    from memories m
    where m.tenant_id = p_tenant and m.superseded_by = p_memory_id
      and (p_last is null or exists (
        select from memory_versions v
        where v.tenant_id = p_tenant and v.memory_id = m.memory_id and v.status = 'superseded' and v.seq + 0 <= p_last))
  )
  select c.ref, max(c.seq), min(c.place)
  from (select x.ref, x.seq, x.place, event_of(x.ref) as event_id from cited x offset 0) c
  where c.ref <> p_memory_id and not exists (
    select from (
      select e.seq
      from events e
      where e.tenant_id = p_tenant and e.kind like 'memory.%' and e.event_id = c.event_id
      offset 0) made
    join memory_versions v on v.tenant_id = p_tenant and v.seq = made.seq
    where v.memory_id = p_memory_id and v.status in ('active', 'proposed')
    offset 0)
  group by c.ref;
end $$;

-- Name: memories_pin(text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.memories_pin(p_tenant text) RETURNS SETOF bigint
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 WITH pinned AS MATERIALIZED (
          SELECT m.tenant_id,
             m.memory_id,
             m.kind,
             m.scope,
             m.scope_id,
             m.status,
             m.version,
             m.content_seq,
             m.last_seq,
             m.user_id,
             m.agent_id,
             m.session_id,
             m.project_id,
             m.channel,
             m.sensitivity,
             m.text_hash,
             m.importance,
             m.pinned,
             m.repeats,
             m.worn,
             m.tags,
             m.valid_from,
             m.valid_to,
             m.expires_at,
             m.superseded_by,
             m.task_status,
             m.doing_agent,
             m.marks,
             m.created_at,
             m.updated_at
            FROM public.memories m
           WHERE ((m.tenant_id = memories_pin.p_tenant) AND m.pinned AND public.is_current_memory(m.*))
         ), cited AS MATERIALIZED (
          SELECT DISTINCT public.event_of(g.ref) AS ref
            FROM (pinned p
              CROSS JOIN LATERAL public.memory_refs(memories_pin.p_tenant, p.memory_id, p.content_seq) g(ref, seq, place))
         )
  SELECT v.seq
    FROM public.memory_versions v
   WHERE ((v.tenant_id = memories_pin.p_tenant) AND (v.memory_id IN ( SELECT p.memory_id
            FROM pinned p
         UNION ALL
          SELECT c.ref
            FROM cited c)))
 UNION
  SELECT e.seq
    FROM (cited c
      JOIN public.events e ON (((e.tenant_id = memories_pin.p_tenant) AND (e.event_id = c.ref))))
 UNION
  SELECT e.seq
    FROM ((cited c
      JOIN public.artifacts a ON (((a.tenant_id = memories_pin.p_tenant) AND (a.artifact_id = c.ref))))
      JOIN public.events e ON (((e.tenant_id = memories_pin.p_tenant) AND (e.event_id = a.event_id))));
END;

-- Name: memories_reached(text, public.edits); Type: FUNCTION; Schema: public

CREATE FUNCTION public.memories_reached(p_tenant text, p_edit public.edits) RETURNS SETOF bigint
    LANGUAGE plpgsql STABLE
    AS $$
begin
  if p_edit.memory_id is null then
    return;
  end if;
  if not exists (
    select from memories m where m.tenant_id = p_tenant and m.memory_id = p_edit.memory_id and m.content_seq = p_edit.seq) then
    raise exception 'the text of the memory has changed; propose the edit again' using errcode = 'AM409';
  end if;
  return query
  select v.seq
  from memory_versions v join events e on e.tenant_id = v.tenant_id and e.seq = v.seq and e.chunk_count > 0
  where v.tenant_id = p_tenant and v.memory_id = p_edit.memory_id and v.content_seq = p_edit.seq and v.status in ('active', 'proposed');
end $$;

-- Name: memories_rebuilt(text, bigint, bigint); Type: FUNCTION; Schema: public

CREATE FUNCTION public.memories_rebuilt(p_tenant text, p_from bigint, p_to bigint) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
  perform set_chunk_validity(
    p_tenant, array_agg(d.seq), array_agg(d.until_seq), array_agg(d.until_at),
    array_agg(case when d.kind like 'memory.%' then validity(d.content) end))
  from (
    select v.seq, e.kind, e.content, ended.seq as until_seq, ended.occurred_at as until_at
    from memory_versions v
    join events e on e.tenant_id = v.tenant_id and e.seq = v.seq
    left join lateral (
      select w.seq, x.occurred_at
      from memory_versions w join events x on x.tenant_id = w.tenant_id and x.seq = w.seq
      where w.tenant_id = v.tenant_id and w.memory_id = v.memory_id and w.seq > v.seq
        and (w.status not in ('active', 'proposed') or w.content_seq > v.seq)
      order by w.version
      limit 1
    ) ended on true
    where v.tenant_id = p_tenant and v.seq between p_from and p_to and v.status <> 'superseded'
  ) d;
end $$;

-- Name: memories_rename(text, bigint, jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.memories_rename(p_tenant text, p_seq bigint, p_parts jsonb) RETURNS void
    LANGUAGE plpgsql
    AS $$
declare
  v_event events;
  v_id text;
  v_seq bigint;
begin
  select * into v_event from events e where e.tenant_id = p_tenant and e.seq = p_seq;
  for v_id in
    select m.memory_id
    from memory_versions v join memories m on m.tenant_id = v.tenant_id and m.memory_id = v.memory_id
    where v.tenant_id = p_tenant and v.seq = p_seq and m.content_seq = p_seq and v.status <> 'superseded'
  loop
    for attempt in 1 .. 2 loop
      begin
        update memories m
        set user_id = v_event.user_id, agent_id = v_event.agent_id, session_id = nullif(v_event.session_id, m.memory_id),
          project_id = v_event.project_id, tags = v_event.tags,
          doing_agent = case when m.doing_agent is not null then v_event.agent_id end,
          scope_id = scope_id(m.scope, v_event.project_id, nullif(v_event.session_id, m.memory_id), v_event.user_id),
          text_hash = (memory_from_content(m)).text_hash
        where m.tenant_id = p_tenant and m.memory_id = v_id;
        exit;
      exception when unique_violation then
        select c.last_seq into v_seq from tenant_clocks c where c.tenant_id = p_tenant;
        begin
          perform end_memory(p_tenant, v_id, 'expired', v_seq);
        -- it is past its time already, and the sweeper has yet to come by
        exception when sqlstate 'AM409' then
          update memories m set status = 'expired', doing_agent = null where m.tenant_id = p_tenant and m.memory_id = v_id;
        end;
      end;
    end loop;
  end loop;
end $$;

-- Name: memories_repair(text, bigint, bigint); Type: FUNCTION; Schema: public

CREATE FUNCTION public.memories_repair(p_tenant text, p_from bigint, p_to bigint) RETURNS bigint
    LANGUAGE sql
    AS $$
  select set_passage_ends(p_tenant, array_agg(x.seq), array_agg(x.ordinal), array_agg(x.expected), array_agg(x.expected_at))
  from compare_passage_ends(p_tenant, p_from, p_to) x
  where x.until_seq is distinct from x.expected
$$;

-- Name: memories_repair_rows(text, text, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.memories_repair_rows(p_tenant text, p_after text, p_limit integer) RETURNS TABLE(changed bigint, last text)
    LANGUAGE plpgsql
    AS $$
declare
  v_last text;
  v_named bigint;
  v_stated bigint;
  v_forgotten boolean;
begin
  perform from tenant_clocks c where c.tenant_id = p_tenant for update;
  v_forgotten := has_forgotten(p_tenant);
  select max(o.memory_id) into v_last
  from (select i.memory_id from memories i where i.tenant_id = p_tenant and i.memory_id > p_after order by i.memory_id limit p_limit) o;
  update memories m
  set
    version = s.version, last_seq = s.seq, content_seq = s.content_seq,
    status = case when m.status = 'expired' and s.status = 'active' then 'expired' else s.status end,
    doing_agent = case when s.status = 'active' then m.doing_agent end,
    updated_at = coalesce((select e.created_at from events e where e.tenant_id = p_tenant and e.seq = s.seq), m.updated_at)
  from (
    select o.memory_id, w.*
    from memories o cross join lateral newest_version(p_tenant, o.memory_id) w
    where o.tenant_id = p_tenant and o.memory_id > p_after and o.memory_id <= v_last
  ) s
  where m.tenant_id = p_tenant and m.memory_id = s.memory_id and (s.n = s.version or v_forgotten) and s.rising
    and ((m.version, m.last_seq, m.content_seq) is distinct from (s.version, s.seq, s.content_seq)
      or (m.status <> s.status and not (m.status = 'expired' and s.status = 'active')));
  get diagnostics changed = row_count;
  update memories m
  set superseded_by = s.expected
  from (
    select o.memory_id, case when o.status = 'superseded' then successor_of(p_tenant, o.memory_id) end as expected
    from memories o
    where o.tenant_id = p_tenant and o.memory_id > p_after and o.memory_id <= v_last and (o.status = 'superseded' or o.superseded_by is not null)
  ) s
  where m.tenant_id = p_tenant and m.memory_id = s.memory_id and is_wrong_successor(m, s.expected);
  get diagnostics v_named = row_count;
  update memories m
  set (channel, user_id, text_hash, tags, importance, pinned, valid_from, valid_to, expires_at) = (
    select w.channel, w.user_id, w.text_hash, w.tags, w.importance, w.pinned, w.valid_from, w.valid_to, w.expires_at from memory_from_content(m) w)
  where m.tenant_id = p_tenant and m.memory_id > p_after and m.memory_id <= v_last and m is distinct from memory_from_content(m);
  get diagnostics v_stated = row_count;
  changed := changed + v_named + v_stated;
  last := v_last;
  return next;
end $$;

-- Name: memories_stay(text, bigint[]); Type: FUNCTION; Schema: public

CREATE FUNCTION public.memories_stay(p_tenant text, p_seqs bigint[]) RETURNS SETOF bigint
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT e.seq
    FROM (unnest(memories_stay.p_seqs) s(seq)
      CROSS JOIN LATERAL ( SELECT x.tenant_id,
             x.seq,
             x.event_id,
             x.session_id,
             x.channel,
             x.actor_type,
             x.actor_id,
             x.kind,
             x.content,
             x.user_id,
             x.agent_id,
             x.project_id,
             x.sensitivity,
             x.tags,
             x.refs,
             x.metadata,
             x.artifact_id,
             x.chunk_count,
             x.byte_count,
             x.occurred_at,
             x.created_at,
             x.supersedes,
             x.erased_at,
             x.redactions,
             x.session_key,
             x.carried_at
            FROM public.events x
           WHERE ((x.tenant_id = memories_stay.p_tenant) AND (x.seq = s.seq))
          OFFSET 0) e)
   WHERE ((e.channel = ANY (ARRAY['team'::text, 'public'::text])) AND (e.erased_at IS NULL) AND (e.artifact_id IS NULL) AND ((e.kind = ANY (ARRAY['decision'::text, 'task_update'::text])) OR ((e.kind ~~ 'memory.%'::text) AND (EXISTS ( SELECT
            FROM (public.memory_versions v
              JOIN public.memories m ON (((m.tenant_id = v.tenant_id) AND (m.memory_id = v.memory_id))))
           WHERE ((v.tenant_id = memories_stay.p_tenant) AND (v.seq = e.seq) AND public.is_shared_act(m.kind, m.channel)))))));
END;

-- Name: memories_trim(text, text, bigint[], bigint[]); Type: FUNCTION; Schema: public

CREATE FUNCTION public.memories_trim(p_tenant text, p_job text, p_seqs bigint[], p_drop bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
declare
  v_ended text[] := array(
    select m.memory_id
    from (
      select distinct w.memory_id
      from unnest(p_seqs) s (seq)
      -- `offset 0` keeps each a look-up
      cross join lateral (select x.memory_id from memory_versions x where x.tenant_id = p_tenant and x.seq = s.seq offset 0) w
    ) v
    cross join lateral (select n.memory_id, n.content_seq from memories n where n.tenant_id = p_tenant and n.memory_id = v.memory_id offset 0) m
    where m.content_seq = any (p_seqs) and not exists (
      select from erasure_marks k where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'hold' and k.id = m.memory_id));
begin
  delete from memory_versions v where v.tenant_id = p_tenant and v.seq = any (p_drop);
  perform drop_memories(p_tenant, v_ended);
end $$;

-- Name: memories_unchanged_since(text, jsonb, jsonb, bigint, text[], integer[], text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.memories_unchanged_since(p_tenant text, p_scope jsonb, p_request jsonb, p_last bigint, p_kinds text[], p_limits integer[], p_status text) RETURNS SETOF public.memories
    LANGUAGE sql STABLE
    AS $$
  select k.*
  from unnest(p_kinds, p_limits) kind (name, most)
  cross join lateral (
    select m.*
    from memories m
    where m.tenant_id = p_tenant and m.kind = kind.name and m.status = p_status and m.last_seq <= p_last
      and (m.kind <> 'task' or m.task_status <> 'done')
      and (p_status <> 'active' or m.expires_at is null or m.expires_at > now())
      and applies_to(m, p_scope, p_request)
      and exists (select from seen_events(p_tenant, p_scope) e where e.seq = m.content_seq)
    order by m.content_seq desc
    limit kind.most
  ) k
$$;

-- Name: memory_content(public.memories, public.events); Type: FUNCTION; Schema: public

CREATE FUNCTION public.memory_content(p_memory public.memories, p_event public.events) RETURNS jsonb
    LANGUAGE sql STABLE
    AS $$ select jsonb_strip_nulls(jsonb_build_object(
  'memory_id', p_memory.memory_id, 'kind', p_memory.kind, 'scope', p_memory.scope, 'importance', p_memory.importance, 'pinned', p_memory.pinned,
  'valid_from', p_memory.valid_from, 'valid_to', p_memory.valid_to, 'expires_at', p_memory.expires_at,
  'origin', jsonb_build_object('type', p_event.actor_type, 'id', p_event.actor_id),
  'trust', trust_of(p_event.actor_type)))
  || case p_event.kind
    when 'decision' then jsonb_build_object(
      'text', p_event.content ->> 'decision', 'body', object_of(p_event.content) - array['decision', 'scope', 'supersedes'])
    when 'task_update' then jsonb_build_object('text', p_event.content ->> 'title', 'body', object_of(p_event.content) - 'title')
    else object_of(p_event.content) - 'supersedes' end $$;

-- Name: memory_details(text, public.memories, bigint, jsonb, text, text, bigint, timestamp with time zone); Type: FUNCTION; Schema: public

CREATE FUNCTION public.memory_details(p_tenant text, p_memory public.memories, p_seq bigint, p_content jsonb, p_actor_type text, p_actor_id text, p_last bigint, p_as_of timestamp with time zone DEFAULT NULL::timestamp with time zone) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
declare
  v_content_seq bigint := coalesce((
    select v.content_seq
    from memory_versions v
    where v.tenant_id = p_tenant and v.seq = p_seq and v.memory_id || '' = p_memory.memory_id and v.status <> 'superseded'
    limit 1), p_seq);
  v_grounding record;
begin
  if v_content_seq <> p_seq then
    select case when e.kind like 'memory.%' then coalesce(o.content, e.content) end, e.actor_type, e.actor_id
    into p_content, p_actor_type, p_actor_id
    from events e left join overlays o on o.tenant_id = p_tenant and o.seq = e.seq
    where e.tenant_id = p_tenant and e.seq = v_content_seq;
  end if;
  select * into v_grounding from grounding(p_tenant, p_memory.memory_id, p_memory.kind, v_content_seq, 256, p_last, p_as_of);
  return jsonb_build_object(
    'memory_id', p_memory.memory_id, 'kind', p_memory.kind, 'scope', p_memory.scope,
    'refs', to_jsonb(v_grounding.refs),
    'grounded', v_grounding.grounded,
    'unsourced', v_grounding.unsourced,
    'trust', coalesce(p_content ->> 'trust', trust_of(p_actor_type)),
    'origin', coalesce(p_content -> 'origin', jsonb_build_object('type', p_actor_type, 'id', p_actor_id)),
    'body', coalesce(p_content -> 'body', '{}'));
end $$;

-- Name: memory_fields(text, bigint, text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.memory_fields(p_tenant text, p_seq bigint, p_channel text) RETURNS jsonb
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT COALESCE(( SELECT (jsonb_build_object('scope', m.scope, 'status',
                 CASE
                     WHEN ((m.status = 'active'::text) AND (m.expires_at <= now())) THEN 'expired'::text
                     ELSE m.status
                 END) ||
                 CASE
                     WHEN (EXISTS ( SELECT
                        FROM public.overlays o
                       WHERE ((o.tenant_id = memory_fields.p_tenant) AND (o.seq = m.content_seq) AND (o.blocked_in @> ARRAY[memory_fields.p_channel])))) THEN '{}'::jsonb
                     ELSE jsonb_build_object('importance', m.importance, 'pinned', m.pinned)
                 END)
            FROM (public.memory_versions v
              JOIN public.memories m ON (((m.tenant_id = v.tenant_id) AND (m.memory_id = v.memory_id))))
           WHERE ((v.tenant_id = memory_fields.p_tenant) AND (v.seq = memory_fields.p_seq))
           ORDER BY (v.status = 'superseded'::text)
          LIMIT 1), '{}'::jsonb) AS "coalesce";
END;

-- Name: memory_from_content(public.memories); Type: FUNCTION; Schema: public

CREATE FUNCTION public.memory_from_content(p_memory public.memories) RETURNS public.memories
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
begin
  return (
  select coalesce((select jsonb_populate_record(p_memory, jsonb_build_object('channel', e.channel, 'user_id', e.user_id) || case
    when p_memory.kind = 'task' then '{}'
    when e.kind = 'decision' and e.content ? 'decision' then jsonb_build_object('text_hash', sha256(convert_to(e.content ->> 'decision', 'utf8')), 'tags', e.tags)
    when e.kind like 'memory.%' and e.content ? 'text' then jsonb_build_object(
      'text_hash', sha256(convert_to(e.content ->> 'text', 'utf8')), 'tags', e.tags,
      'importance', coalesce(member_of(e.content, 'importance', 'number'), to_jsonb(p_memory.importance)),
      'pinned', coalesce(member_of(e.content, 'pinned', 'boolean'), to_jsonb(p_memory.pinned)),
      'valid_from', time_of(e.content ->> 'valid_from'), 'valid_to', time_of(e.content ->> 'valid_to'),
      'expires_at', time_of(e.content ->> 'expires_at'))
    else '{}' end)
  from events e
  where e.tenant_id = p_memory.tenant_id and e.seq = p_memory.content_seq), p_memory));
end $$;

-- Name: memory_matches(public.memories, public.events, jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.memory_matches(p_memory public.memories, p_event public.events, p_filter jsonb) RETURNS boolean
    LANGUAGE sql STABLE
    AS $$ select coalesce(jsonb_path_match(
  jsonb_strip_nulls(jsonb_build_object(
    'kinds', jsonb_build_array(p_memory.kind),
    'session_id', p_memory.session_id, 'user_id', p_memory.user_id, 'agent_id', p_memory.agent_id, 'project_id', p_memory.project_id,
    'channel', p_memory.channel, 'sensitivity', p_memory.sensitivity, 'actor_type', p_event.actor_type, 'actor_id', p_event.actor_id,
    'tags', nullif(p_event.tags, '{}'), 'refs', nullif(p_event.refs, '{}'), 'seq', p_memory.last_seq,
    'occurred_at', sortable_time(p_event.occurred_at), 'created_at', sortable_time(p_memory.created_at),
    'importance', p_memory.importance, 'scope', p_memory.scope, 'pinned', p_memory.pinned,
    'status', case when p_memory.status = 'active' and p_memory.expires_at <= now() then 'expired' else p_memory.status end))
    || jsonb_build_object('metadata', p_event.metadata),
  (p_filter ->> 'path')::jsonpath, p_filter -> 'vars', true), false) $$;

-- Name: missing_ids(text, text[]); Type: FUNCTION; Schema: public

CREATE FUNCTION public.missing_ids(p_tenant text, p_ids text[]) RETURNS TABLE(id text, gone boolean)
    LANGUAGE plpgsql STABLE
    AS $_$
declare
  v_begin bigint := log_begin(p_tenant);
  v_oldest_id text := (select e.event_id from events e where e.tenant_id = p_tenant and e.seq = v_begin and v_begin > 1);
  v_forgotten boolean := has_forgotten(p_tenant);
  v_noun nouns;
begin
  for v_noun in select n.* from hooks('missing') h (noun) join nouns n on n.noun = h.noun loop
    return query execute format('select id, gone from %I($1, $2, $3, $4)', v_noun.noun || '_missing')
    using p_tenant, array(select i from unnest(p_ids) i where i ~ format('^%s_[0-9a-z]{26}', v_noun.id_prefix)), v_oldest_id, v_forgotten;
  end loop;
end $_$;

-- Name: move_chunk_ends(text, bigint[], bigint[], bigint[], timestamp with time zone[]); Type: FUNCTION; Schema: public

CREATE FUNCTION public.move_chunk_ends(p_tenant text, p_gone bigint[], p_seqs bigint[], p_untils bigint[], p_ats timestamp with time zone[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
  update chunks c set until_seq = d.until_seq, until_at = d.until_at
  from unnest(p_seqs, p_untils, p_ats) d (seq, until_seq, until_at)
  where c.tenant_id = p_tenant and c.seq = d.seq and c.until_seq = any (p_gone);
end $$;

-- Name: move_content(public.memories, public.events); Type: FUNCTION; Schema: public

CREATE FUNCTION public.move_content(p_memory public.memories, p_home public.events) RETURNS public.memories
    LANGUAGE plpgsql
    AS $$
declare
  -- as src/memories/effect.ts has it of a recorded decision and task
  v_said jsonb := case p_home.kind when 'decision' then '{"importance": 1}' when 'task_update' then '{"importance": 0.8}' else p_home.content end;
  v_memory memories;
begin
  update memory_versions v set content_seq = p_home.seq
  where v.tenant_id = p_memory.tenant_id and v.memory_id = p_memory.memory_id and v.content_seq = p_memory.content_seq;
  update memories m
  set
    content_seq = p_home.seq, marks = array(select distinct unnest(m.marks || '{evidence_erased}')),
    agent_id = p_home.agent_id, session_id = nullif(p_home.session_id, m.memory_id), project_id = p_home.project_id, tags = p_home.tags,
    doing_agent = case when m.doing_agent = p_home.agent_id then m.doing_agent end,
    importance = coalesce((v_said ->> 'importance')::real, m.importance),
    valid_from = (v_said ->> 'valid_from')::timestamptz, valid_to = (v_said ->> 'valid_to')::timestamptz
  where m.tenant_id = p_memory.tenant_id and m.memory_id = p_memory.memory_id
  returning * into v_memory;
  return v_memory;
end $$;

-- Name: move_passage_ends(text, text, bigint[]); Type: FUNCTION; Schema: public

CREATE FUNCTION public.move_passage_ends(p_tenant text, p_memory_id text, p_gone bigint[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
  perform move_chunk_ends(p_tenant, p_gone, array_agg(d.seq), array_agg(d.until_seq), array_agg(e.occurred_at))
  from version_ends(p_tenant, p_memory_id, 0) d
  left join events e on e.tenant_id = p_tenant and e.seq = d.until_seq;
end $$;

-- Name: nameable_parts(public.events); Type: FUNCTION; Schema: public

CREATE FUNCTION public.nameable_parts(p_event public.events) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    AS $_$
declare
  v_noun text;
  v_parts jsonb := jsonb_build_object(
    'fields', jsonb_build_object(
      'session_id', p_event.session_id, 'user_id', p_event.user_id, 'agent_id', p_event.agent_id, 'project_id', p_event.project_id,
      'actor_id', p_event.actor_id, 'tags', p_event.tags, 'refs', p_event.refs),
    'content', p_event.content,
    'metadata', p_event.metadata);
  v_more jsonb;
begin
  for v_noun in select * from hooks('words') loop
    execute format('select %I($1)', v_noun || '_words') into v_more using p_event;
    v_parts := v_parts || v_more;
  end loop;
  return v_parts;
end $_$;

-- Name: needs_sources(text, text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.needs_sources(p_tenant text, p_kind text) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
begin
  return case (select t.settings ->> 'require_sources' from tenants t where t.tenant_id = p_tenant)
    when 'none' then false when 'all' then not is_act(p_kind) else p_kind = 'summary' end;
end $$;

-- Name: newest_version(text, text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.newest_version(p_tenant text, p_memory_id text) RETURNS TABLE(n bigint, version integer, seq bigint, content_seq bigint, status text, rising boolean)
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
#variable_conflict use_column
begin
  return query
  select w.n, v.version, v.seq, v.content_seq, v.status, w.rising
  from (
    select count(*) as n, max(o.version) as last, bool_and(o.before is null or o.seq > o.before) as rising
    from (
      select i.version, i.seq, lag(i.seq) over (order by i.version) as before
      from memory_versions i where i.tenant_id = p_tenant and i.memory_id = p_memory_id
    ) o
  ) w
  join memory_versions v on v.tenant_id = p_tenant and v.memory_id = p_memory_id and v.version = w.last;
end $$;

-- Name: next_marked(text, text, text, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.next_marked(p_tenant text, p_job text, p_after text, p_limit integer) RETURNS TABLE(last text, seqs bigint[])
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT max(s.id) AS max,
     array_agg(s.seq) FILTER (WHERE s.is_there) AS array_agg
    FROM ( SELECT n.id,
             n.seq,
             (e.seq IS NOT NULL) AS is_there,
             COALESCE(sum((e.byte_count + COALESCE(a.byte_count, (0)::bigint))) OVER (ORDER BY n.id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), (0)::numeric) AS before
            FROM ((( SELECT k.id,
                     k.seq
                    FROM public.erasure_marks k
                   WHERE ((k.tenant_id = next_marked.p_tenant) AND (k.job_id = next_marked.p_job) AND (k.what = 'event'::text) AND (k.id > next_marked.p_after))
                   ORDER BY k.id
                  LIMIT next_marked.p_limit) n
              LEFT JOIN public.events e ON (((e.tenant_id = next_marked.p_tenant) AND (e.seq = n.seq))))
              LEFT JOIN public.artifacts a ON (((a.tenant_id = next_marked.p_tenant) AND (a.artifact_id = e.artifact_id))))) s
   WHERE (s.before < (2097152)::numeric);
END;

-- Name: next_trimmed(text, text, bigint, bigint, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.next_trimmed(p_tenant text, p_job text, p_after bigint, p_upto bigint, p_limit integer) RETURNS TABLE(seqs bigint[], kept bigint[], emptied bigint[], dropped bigint[])
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT array_agg(e.seq ORDER BY e.seq) AS array_agg,
     array_agg(e.seq) FILTER (WHERE (e.whole OR e.ground)) AS array_agg,
     array_agg(e.seq) FILTER (WHERE (e.ground AND (NOT e.whole) AND (e.erased_at IS NULL))) AS array_agg,
     array_agg(e.seq) FILTER (WHERE (NOT (e.whole OR e.ground))) AS array_agg
    FROM ( SELECT l.seq,
             l.erased_at,
             k.whole,
             k.ground
            FROM (( SELECT e_1.seq,
                     e_1.event_id,
                     e_1.erased_at
                    FROM public.events e_1
                   WHERE ((e_1.tenant_id = next_trimmed.p_tenant) AND (e_1.seq > next_trimmed.p_after) AND (e_1.seq <= next_trimmed.p_upto))
                   ORDER BY e_1.seq
                  LIMIT next_trimmed.p_limit) l
              CROSS JOIN LATERAL ( SELECT COALESCE(bool_or((m.what = 'carry'::text)), false) AS whole,
                     COALESCE(bool_or((m.what = 'ground'::text)), false) AS ground
                    FROM public.erasure_marks m
                   WHERE ((m.tenant_id = next_trimmed.p_tenant) AND (m.job_id = next_trimmed.p_job) AND (m.id = l.event_id))) k)) e;
END;

-- Name: noun(text, text, text, text[], text[]); Type: FUNCTION; Schema: public

CREATE FUNCTION public.noun(p_noun text, prefix text DEFAULT NULL::text, part text DEFAULT NULL::text, keys text[] DEFAULT NULL::text[], without text[] DEFAULT '{}'::text[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
  insert into nouns (noun, place, id_prefix, without)
  values (p_noun, (select coalesce(max(n.place), 0) + 1 from nouns n), noun.prefix, noun.without);
  if part is not null then
    perform portable(p_noun::regclass, noun.part, noun.keys);
  end if;
end $$;

-- Name: nouns_in(jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.nouns_in(p_units jsonb) RETURNS text[]
    LANGUAGE plpgsql STABLE
    AS $_$
begin
  return array(
    select n.noun
    from nouns n
    where n.noun in (select jsonb_object_keys(e.effects) from jsonb_path_query(p_units, '$[*].events[*].effects') e (effects))
    order by n.place);
end $_$;

-- Name: object_of(jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.object_of(p_content jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN (jsonb_typeof(p_content) = 'object'::text) THEN p_content ELSE '{}'::jsonb END;

-- Name: open_session(text, text, jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.open_session(p_tenant text, p_user text, p_session jsonb) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
  insert into sessions (tenant_id, session_id, user_id, user_agent, address, expires_at)
  values (
    p_tenant, p_session ->> 'session_id', p_user, p_session ->> 'user_agent', p_session ->> 'address',
    now() + interval '1 second' * (p_session ->> 'ttl_s')::int);
  insert into refresh_tokens (tenant_id, token_id, session_id, secret_hash)
  values (p_tenant, p_session ->> 'token_id', p_session ->> 'session_id', decode(p_session ->> 'token_hash', 'hex'));
  -- What is over goes, and a user keeps the 200 sessions used last: log-ins cannot fill the table.
  delete from sessions s where s.tenant_id = p_tenant and s.session_id in (
    select o.session_id
    from sessions o
    where o.tenant_id = p_tenant and o.user_id = p_user
      and (o.expires_at < now() or o.revoked_at < now() - interval '7 days' or o.used_at < (
        select n.used_at from sessions n
        where n.tenant_id = p_tenant and n.user_id = p_user order by n.used_at desc offset 199 limit 1))
    limit 20 for update skip locked);
end $$;

-- Name: overlay_of(text, public.events, jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.overlay_of(p_tenant text, p_event public.events, p_base jsonb) RETURNS SETOF public.overlays
    LANGUAGE sql STABLE
    AS $$
  with active as materialized (
    select a.* from active_edits(p_tenant, p_event.seq) a
  ),
  whole as (
    select
      array_agg(a.edit_id order by a.n) as edit_ids,
      bool_or(a.op = 'retract' and a.ordinal is null) as retracted,
      bool_or(a.op in ('amend', 'retract') or (a.op = 'quarantine' and a.ordinal is not null)) as rewritten,
      -- another event says it now
      coalesce(bool_or(a.passages = '[]'), false) as silent,
      (array_agg(a.patch ->> 'text' order by a.n desc) filter (where a.op = 'amend' and a.ordinal is null))[1] as text,
      -- a reader gets that one text, unless single passages were edited since
      coalesce(max(a.n) filter (where a.op = 'amend' and a.ordinal is null), 0)
        > coalesce(max(a.n) filter (where a.op = 'amend' and a.ordinal is not null), 0)
        and not coalesce(bool_or(a.op in ('retract', 'quarantine') and a.ordinal is not null), false) as is_one
    from active a
    having count(*) > 0
  ),
  -- of a passage that is quarantined by itself the event says nothing, and no list leaves the event out for it
  hidden as (
    select array_agg(distinct c.channel order by c.channel) as channels
    from active a cross join lateral unnest(blocked_by(a.op, a.patch)) c (channel)
    where not (a.op = 'quarantine' and a.ordinal is not null)
  ),
  passage as (
    select
      coalesce(bool_and(x.retracted), false) as retracted,
      coalesce(bool_and(x.retracted or x.apart), false) as unread,
      count(*) as n,
      min(coalesce(x.weight, 1)) as weight,
      left(string_agg(rtrim(x.text, e' \n\t') || coalesce(x.gap, ''), '' order by x.ordinal) filter (where not (x.retracted or x.apart)), 65536) as text
    from edited_passages(p_tenant, p_event.seq, p_base) x
  )
  select
    p_tenant, p_event.seq,
    case
      when w.retracted or (p.retracted and not w.silent) then '{"withheld": true}'::jsonb
      when w.rewritten then edited_content(p_event.kind, p_event.content, case when w.is_one then w.text else coalesce(p.text, '') end)
    end,
    case when w.retracted or (p.unread and not w.silent) then every_channel() else h.channels end,
    p.n::smallint, nullif(p.weight, 1)::real, w.edit_ids, p_base
  from whole w cross join hidden h cross join passage p;
$$;

-- Name: pair_tool_events(text, jsonb, bigint, bigint[]); Type: FUNCTION; Schema: public

CREATE FUNCTION public.pair_tool_events(p_tenant text, p_scope jsonb, p_last bigint, p_seqs bigint[]) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
begin
  return (
    with related as materialized (
      select t.*, exists (
        select
        from seen_events(p_tenant, p_scope) s
        where s.seq = t.seq
          and (p_scope -> 'filter' is null or event_matches(s, p_scope -> 'filter', false, p_scope ->> 'channel'))) as seen
      from tool_events(p_seqs, p_last) t
    ),
    paired as materialized (
      select r.*, c.seq as call_seq, r.seq = any (p_seqs) as requested
      from related r
      left join lateral (
        select c.seq, c.seen
        from related c
        where c.kind = 'tool_call' and c.session_id = r.session_id and c.call_id = r.call_id
          and (r.kind = 'tool_result' or c.seq = r.seq)
        order by c.audience = r.audience desc, c.seq < r.seq desc, abs(c.seq - r.seq)
        limit 1
      ) c on c.seen
      where r.seen
    ),
    named as (
      select p.*, row_number() over (partition by p.call_seq, p.kind order by p.seq) as position
      from paired p
      where p.requested or (
        p.call_seq in (select g.call_seq from paired g where g.requested)
        and (p.kind = 'tool_call' or not exists (
          select from paired g where g.requested and g.kind = 'tool_result' and g.call_seq = p.call_seq)))
    )
    select coalesce(jsonb_agg(jsonb_build_object(
      'seq', n.seq, 'call_seq', n.call_seq, 'tool', n.tool, 'call_id', n.call_id, 'requested', n.requested) order by n.seq), '[]')
    from named n
    where n.requested or n.position <= 3);
end $$;

-- Name: passage_source(public.events); Type: FUNCTION; Schema: public

CREATE FUNCTION public.passage_source(p_event public.events) RETURNS text
    LANGUAGE sql STABLE
    AS $$ select md5(concat_ws(' ', p_event.content, p_event.tags, p_event.actor_id)) $$;

-- Name: passage_terms(regconfig, text, text, timestamp with time zone); Type: FUNCTION; Schema: public

CREATE FUNCTION public.passage_terms(p_language regconfig, p_text text, p_header text, p_at timestamp with time zone) RETURNS integer[]
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    AS $$
begin
  return array(
    select term_key(l)
    from unnest(tsvector_to_array(
      to_tsvector(p_language, p_text)
      || to_tsvector(p_language, p_header || coalesce(to_char(p_at at time zone 'UTC', ' FMDay FMDD FMMonth FMYYYY'), '')))) l);
end $$;

-- Name: passage_text(public.chunks); Type: FUNCTION; Schema: public

CREATE FUNCTION public.passage_text(p_chunk public.chunks) RETURNS text
    LANGUAGE sql STABLE
    AS $$ select coalesce(
  p_chunk.text, (select event_text(e.content) from events e where e.tenant_id = p_chunk.tenant_id and e.seq = p_chunk.seq)) $$;

-- Name: passages_apply(text, public.effect[], public.prepared[], timestamp with time zone); Type: FUNCTION; Schema: public

CREATE FUNCTION public.passages_apply(p_tenant text, p_effects public.effect[], p_prepared public.prepared[], p_at timestamp with time zone) RETURNS public.answer[]
    LANGUAGE plpgsql
    SET enable_nestloop TO 'off'
    AS $$
begin
  insert into chunks (
    tenant_id, seq, ordinal, kind, session_id, channel, sensitivity, user_id, agent_id, project_id,
    text, header, token_count, terms, occurred_at, valid)
  select
    p_tenant, e.seq, c.part, e.kind, e.session_id, e.channel, e.sensitivity, e.user_id, e.agent_id, e.project_id,
    c.doc ->> 'text', c.doc ->> 'header', (c.doc ->> 'token_count')::int, c.numbers, e.occurred_at, validity(e.doc)
  from unnest(p_effects) e
  join unnest(p_prepared) c on c.unit = e.unit and c.event = e.event;
  return null;
end $$;

-- Name: passages_before_edits(text, bigint); Type: FUNCTION; Schema: public

CREATE FUNCTION public.passages_before_edits(p_tenant text, p_seq bigint) RETURNS jsonb
    LANGUAGE sql STABLE
    RETURN COALESCE((SELECT o.base FROM public.overlays o WHERE ((o.tenant_id = passages_before_edits.p_tenant) AND (o.seq = passages_before_edits.p_seq))), (SELECT jsonb_agg(jsonb_build_object('text', public.passage_text(c.*), 'header', c.header, 'token_count', c.token_count) ORDER BY c.ordinal) AS jsonb_agg FROM public.chunks c WHERE ((c.tenant_id = passages_before_edits.p_tenant) AND (c.seq = passages_before_edits.p_seq))), '[]'::jsonb);

-- Name: passages_check(text, bigint, bigint); Type: FUNCTION; Schema: public

CREATE FUNCTION public.passages_check(p_tenant text, p_from bigint, p_to bigint) RETURNS SETOF public.finding
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
begin
  return query
  with counted as (
    select c.seq, count(*) as n, max(c.ordinal) as last
    from chunks c
    where c.tenant_id = p_tenant and c.seq between p_from and p_to
    group by c.seq
  ),
  judged as (
    select coalesce(e.seq, c.seq) as seq, e.chunk_count, coalesce(c.n, 0) as n,
      e.seq is null or coalesce(c.n, 0) <> e.chunk_count or coalesce(c.last, -1) <> e.chunk_count - 1 as wrong
    from (select e.* from events e where e.tenant_id = p_tenant and e.seq between p_from and p_to) e
    full join counted c on c.seq = e.seq
    -- of what is kept nowhere there are no passages
    where not coalesce(e.sensitivity = 'secret' and c.n is null, false)
      and coalesce(e.seq, c.seq) not in (select * from rewritten_seqs(p_tenant, p_from, p_to))
  )
  select 'passages', count(*), count(*) filter (where j.wrong),
    sample_of(jsonb_build_object('seq', j.seq, 'expected', j.chunk_count, 'found', j.n) order by j.seq) filter (where j.wrong), false
  from judged j;

  return query
  with judged as (
    select c.seq, c.ordinal,
      (c.kind, c.session_id, c.channel, c.sensitivity, c.user_id, c.agent_id, c.project_id, c.occurred_at)
        is distinct from (e.kind, e.session_id, e.channel, e.sensitivity, e.user_id, e.agent_id, e.project_id, e.occurred_at) as wrong
    from chunks c
    join events e on e.tenant_id = p_tenant and e.seq = c.seq
    where c.tenant_id = p_tenant and c.seq between p_from and p_to
  )
  select 'passage_scopes', count(*), count(*) filter (where j.wrong),
    sample_of(jsonb_build_object('seq', j.seq, 'ordinal', j.ordinal) order by j.seq) filter (where j.wrong), false
  from judged j;
end $$;

-- Name: passages_clear(text, bigint[], boolean); Type: FUNCTION; Schema: public

CREATE FUNCTION public.passages_clear(p_tenant text, p_seqs bigint[], p_dry boolean) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
declare
  v_count bigint;
  v_bytes bigint := 0;
begin
  if p_dry then
    select count(*) into v_count from chunks c where c.tenant_id = p_tenant and c.seq = any (p_seqs);
  else
    with gone as (
      delete from chunks c where c.tenant_id = p_tenant and c.seq = any (p_seqs)
      returning octet_length(passage_text(c)) + octet_length(c.header) as bytes)
    select count(*), coalesce(sum(g.bytes), 0) into v_count, v_bytes from gone g;
  end if;
  return jsonb_build_object('chunks', v_count, 'bytes', v_bytes);
end $$;

-- Name: passages_measure(text, bigint, bigint); Type: FUNCTION; Schema: public

CREATE FUNCTION public.passages_measure(p_tenant text, p_from bigint, p_to bigint) RETURNS bigint
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT COALESCE(sum(((octet_length(public.passage_text(c.*)) + octet_length(c.header)) + 50)), (0)::bigint) AS "coalesce"
    FROM public.chunks c
   WHERE ((c.tenant_id = passages_measure.p_tenant) AND ((c.seq >= passages_measure.p_from) AND (c.seq <= passages_measure.p_to)));
END;

-- Name: passages_missing(text, text[], text, boolean); Type: FUNCTION; Schema: public

CREATE FUNCTION public.passages_missing(p_tenant text, p_ids text[], p_oldest_id text, p_forgotten boolean) RETURNS TABLE(id text, gone boolean)
    LANGUAGE sql STABLE
    AS $$
  select i.id, coalesce(e.erased_at is not null or substr(i.id, 5, 26) < substr(p_oldest_id, 5, 26), false)
  from (select c.id, event_of(c.id) as event_id from unnest(p_ids) c (id) offset 0) i
  -- `limit` keeps it a look-up of each id
  left join lateral (
    select x.chunk_count, x.erased_at from events x where x.tenant_id = p_tenant and x.event_id = i.event_id limit 1
  ) e on true
  where not coalesce(has_passage(i.id, e.chunk_count), false)
$$;

-- Name: passages_of(text, bigint); Type: FUNCTION; Schema: public

CREATE FUNCTION public.passages_of(p_tenant text, p_seq bigint) RETURNS jsonb
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT jsonb_build_object('chunks', COALESCE(jsonb_agg(jsonb_build_object('text', public.passage_text(c.*), 'header', c.header, 'token_count', c.token_count) ORDER BY c.ordinal), '[]'::jsonb)) AS jsonb_build_object
    FROM public.chunks c
   WHERE ((c.tenant_id = passages_of.p_tenant) AND (c.seq = passages_of.p_seq));
END;

-- Name: passages_prepare(text, jsonb, timestamp with time zone); Type: FUNCTION; Schema: public

CREATE FUNCTION public.passages_prepare(p_tenant text, p_units jsonb, p_asked timestamp with time zone) RETURNS public.prepared[]
    LANGUAGE plpgsql
    AS $$
begin
  return array(
    select row(
      'passages', u.ord, e.ord, c.ord - 1,
      passage_terms(t.language, c.doc ->> 'text', c.doc ->> 'header', coalesce((e.doc ->> 'occurred_at')::timestamptz, p_asked)),
      case when c.doc ->> 'text' = event_text(e.doc -> 'content') then c.doc - 'text' else c.doc end)::prepared
    from tenants t
    cross join lateral jsonb_array_elements(p_units) with ordinality u (doc, ord)
    cross join lateral jsonb_array_elements(u.doc -> 'events') with ordinality e (doc, ord)
    cross join lateral jsonb_array_elements(e.doc #> '{effects,passages,chunks}') with ordinality c (doc, ord)
    where t.tenant_id = p_tenant);
end $$;

-- Name: passages_rename(text, bigint, jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.passages_rename(p_tenant text, p_seq bigint, p_parts jsonb) RETURNS void
    LANGUAGE sql
    BEGIN ATOMIC
 UPDATE public.chunks AS c SET text = NULLIF((p.part ->> 1),
         CASE
             WHEN (c.text IS NULL) THEN public.event_text((passages_rename.p_parts -> 'content'::text))
             ELSE NULL::text
         END), header = (p.part ->> 2), terms = public.passage_terms(( SELECT t.language
            FROM public.tenants t
           WHERE (t.tenant_id = passages_rename.p_tenant)), (p.part ->> 1), (p.part ->> 2), c.occurred_at), session_id = f.session_id, user_id = f.user_id, agent_id = f.agent_id, project_id = f.project_id
    FROM jsonb_array_elements((passages_rename.p_parts -> 'chunks'::text)) p(part),
     jsonb_to_record((passages_rename.p_parts -> 'fields'::text)) f(session_id text, user_id text, agent_id text, project_id text)
   WHERE ((c.tenant_id = passages_rename.p_tenant) AND (c.seq = passages_rename.p_seq) AND (c.ordinal = ((p.part ->> 0))::integer));
END;

-- Name: passages_words(public.events); Type: FUNCTION; Schema: public

CREATE FUNCTION public.passages_words(p_event public.events) RETURNS jsonb
    LANGUAGE sql STABLE
    AS $$
  select jsonb_build_object('chunks', coalesce(jsonb_agg(jsonb_build_array(c.ordinal, passage_text(c), c.header) order by c.ordinal), '[]'))
  from chunks c where c.tenant_id = p_event.tenant_id and c.seq = p_event.seq;
$$;

-- Name: place_units(public.verdict[], public.tenant_clocks); Type: FUNCTION; Schema: public

CREATE FUNCTION public.place_units(p_verdicts public.verdict[], p_clock public.tenant_clocks) RETURNS public.verdict[]
    LANGUAGE plpgsql STABLE
    AS $$
begin
  return array(
    select row(
      v.unit, v.status, v.key_hash, v.body_hash, v.bytes, v.count, v.leader,
      p_clock.last_seq + 1 + sum(case when v.status = 'new' then v.count else 0 end) over (order by v.unit) - v.count,
      v.outcome, v.at)::verdict
    from unnest(p_verdicts) v
    order by v.unit);
end $$;

-- Name: pool(text, jsonb, integer[], jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.pool(p_tenant text, p_scope jsonb, p_keys integer[], p_plan jsonb) RETURNS TABLE(seqs json, ordinals json, sessions json, masks json, decisions json, memories json, weights json, neighbours json)
    LANGUAGE plpgsql
    AS $$
begin
  perform enter_tenant(p_tenant);
  return query
  select p.* from pool_chunks(p_scope, p_keys, p_plan) p;
end $$;

-- Name: pool_chunks(jsonb, integer[], jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.pool_chunks(p_scope jsonb, p_terms integer[], p_plan jsonb) RETURNS TABLE(seqs json, ordinals json, sessions json, masks json, decisions json, memories json, weights json, neighbours json)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $_$
begin
  return query execute fill_template('with' || best_passages_query() || $q$,
    leader as (
      select l.seq, l.session_id, max(l.score) as score
      from best l
      group by l.seq, l.session_id
      order by score desc, l.seq desc
      limit 100
    ),
    beside as materialized (
      select l.seq as centre, n.distance, n.seq from leader l cross join lateral adjacent_events(l.session_id, l.seq) n
    ),
    -- `limit 1` fixes the order of the join: on a table without statistics the planner scanned the tenant once per leader (13 s)
    neighbour as (
      select b.centre, b.distance, b.seq, n.mask
      from beside b
      cross join lateral (
        select {mask} as mask
        from chunks c
        where c.tenant_id = (select current_tenant()) and c.seq = b.seq and c.ordinal = 0 and c.kind not like 'memory.%' and {in_scope}
        limit 1
      ) n
    ),
    numbered as (
      select b.*, dense_rank() over (order by b.session_id) as session, dense_rank() over (order by b.memory_id) as memory
      from best b
    )
    select
      coalesce(array_to_json(array_agg(n.seq order by n.seq, n.ordinal)), '[]'),
      coalesce(array_to_json(array_agg(n.ordinal order by n.seq, n.ordinal)), '[]'),
      coalesce(array_to_json(array_agg(n.session order by n.seq, n.ordinal)), '[]'),
      coalesce(array_to_json(array_agg(n.mask order by n.seq, n.ordinal)), '[]'),
      coalesce(array_to_json(array_agg(distinct n.seq) filter (where n.kind = 'decision' or n.memory_kind = 'decision')), '[]'),
      coalesce(json_agg(distinct jsonb_build_array(n.seq, n.memory)) filter (where n.memory_id is not null), '[]'),
      coalesce(json_agg(jsonb_build_array(n.seq, n.ordinal, n.weight)) filter (where n.weight is not null), '[]'),
      (select coalesce(json_agg(json_build_array(b.centre, b.distance, b.seq, b.mask) order by b.centre, b.distance), '[]') from neighbour b)
    from numbered n $q$,
    jsonb_build_object(
      'mask', mask_expression(cardinality(p_terms)), 'score', score_expression(p_plan -> 'weights'), 'in_scope', chunk_condition(p_scope))
      || index_conditions(p_scope, p_plan))
  using p_scope, p_terms;
end $_$;

ALTER FUNCTION public.pool_chunks(p_scope jsonb, p_terms integer[], p_plan jsonb) OWNER TO agent_memory_searcher;

-- Name: portable(regclass, text, text[], text, text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.portable(p_table regclass, part text, keys text[], bound text DEFAULT NULL::text, weight text DEFAULT NULL::text) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
  perform let_undo(p_table);
  insert into portable_tables (part, place, relation, keys, bound, weight)
  values (
    portable.part, (select coalesce(max(t.place), 0) + 1 from portable_tables t), p_table::text, portable.keys, portable.bound, portable.weight);
end $$;

-- Name: prepare_effects(text, text[], jsonb, timestamp with time zone); Type: FUNCTION; Schema: public

CREATE FUNCTION public.prepare_effects(p_tenant text, p_nouns text[], p_units jsonb, p_asked timestamp with time zone) RETURNS public.prepared[]
    LANGUAGE plpgsql
    AS $_$
declare
  v_noun text;
  v_own prepared[];
  v_all prepared[];
begin
  foreach v_noun in array p_nouns loop
    continue when to_regproc(v_noun || '_prepare') is null;
    execute format('select %I($1, $2, $3)', v_noun || '_prepare') into v_own using p_tenant, p_units, p_asked;
    v_all := v_all || v_own;
  end loop;
  return v_all;
end $_$;

-- Name: propose_edit(text, jsonb, jsonb, text, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.propose_edit(p_tenant text, p_unit jsonb, p_edit jsonb, p_user text, p_waiting integer) RETURNS public.unit_outcome
    LANGUAGE plpgsql
    AS $$
declare
  v_done unit_outcome;
  v_edit edits;
  v_seq bigint;
begin
  perform enter_tenant(p_tenant);
  perform from tenant_clocks c where c.tenant_id = p_tenant for update;
  v_done := commit_unit(p_tenant, p_unit);
  if v_done.status = 'new' then
    v_seq := (v_done.outcome ->> 'seq')::bigint;
    v_edit := jsonb_populate_record(null::edits, p_edit || jsonb_build_object('tenant_id', p_tenant, 'version', 1, 'proposed_seq', v_seq,
      'last_seq', v_seq + (v_done.outcome ->> 'count')::bigint - 1, 'created_at', v_done.at, 'updated_at', v_done.at));
    if v_edit.status = 'pending' and p_waiting <= (
      select count(*)
      from edits d left join api_keys k on k.tenant_id = d.tenant_id and k.key_id = d.principal
      where d.tenant_id = p_tenant and d.seq = v_edit.seq and d.status = 'pending' and coalesce(k.created_by, d.principal) = p_user) then
      raise exception '% of your edits of this event are already pending', p_waiting using errcode = 'AM409';
    end if;
    if v_edit.status = 'approved' then
      v_edit.approved_seq := v_edit.last_seq;
    end if;
    insert into edits select v_edit.*;
    if v_edit.status = 'approved' then
      perform enact_edit(p_tenant, v_edit);
    end if;
  end if;
  return v_done;
end $$;

-- Name: read_clocks(text[]); Type: FUNCTION; Schema: public

CREATE FUNCTION public.read_clocks(p_tenants text[]) RETURNS TABLE(tenant_id text, last_seq bigint)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$ select c.tenant_id, c.last_seq from public.tenant_clocks c where c.tenant_id = any (p_tenants) $$;

ALTER FUNCTION public.read_clocks(p_tenants text[]) OWNER TO agent_memory_overseer;

-- Name: read_context_events(text, jsonb, jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.read_context_events(p_tenant text, p_scope jsonb, p_request jsonb) RETURNS TABLE(part text, as_of_seq bigint, partial_index boolean, seq bigint, event_id text, kind text, actor_id text, content jsonb, artifact_id text, superseded boolean, occurred_at timestamp with time zone, lexemes text[], memory jsonb)
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    AS $$
declare
  v_last bigint;
  v_language regconfig;
  v_cited_ids text[] := array(select jsonb_array_elements_text(coalesce(p_request -> 'cited_ids', '[]')));
  v_cited_hashes bytea[] := array(select decode(h, 'hex') from jsonb_array_elements_text(coalesce(p_request -> 'cited_hashes', '[]')) h);
  v_decision_seqs bigint[] := array(select d::bigint from jsonb_array_elements_text(coalesce(p_request -> 'decision_seqs', '[]')) d);
  v_tool_seqs bigint[] := array(select t::bigint from jsonb_array_elements_text(coalesce(p_request -> 'tool_seqs', '[]')) t);
  v_memories text[] := '{}';
  v_cited bigint[] := '{}';
  v_recent bigint[];
  v_pairs jsonb := '[]';
begin
  perform enter_tenant(p_tenant);
  select t.language into v_language from tenants t where t.tenant_id = p_tenant;
  select least(k.last_seq, coalesce((p_scope ->> 'as_of_seq')::bigint, k.last_seq)) into v_last from tenant_clocks k where k.tenant_id = p_tenant;
  v_recent := array(select s.seq from recent_session_events(p_tenant, p_scope, p_request, v_last) s);
  if cardinality(v_cited_ids) + cardinality(v_cited_hashes) > 0 then
    v_memories := array(select m.memory_id from cited_memories(p_tenant, v_cited_ids, v_cited_hashes) m);
    v_cited := array(
      select e.seq
      from events e
      where e.tenant_id = p_tenant and e.kind not like 'memory.%' and e.event_id = any (array(select event_of(id) from unnest(v_cited_ids) id)));
  end if;
  v_tool_seqs := v_tool_seqs || array(
    select e.seq
    from unnest(v_recent || v_cited) t (seq)
    cross join lateral (
      select e.seq from events e where e.tenant_id = p_tenant and e.seq = t.seq and e.kind in ('tool_call', 'tool_result') limit 1
    ) e);
  if cardinality(v_tool_seqs) > 0 then
    v_pairs := pair_tool_events(p_tenant, p_scope, v_last, v_tool_seqs);
  end if;
  return query
  select
    'log', v_last, exists (select from chunk_rebuilds r where r.tenant_id = p_tenant), null::bigint, null, null, null,
    jsonb_build_object('pairs', v_pairs), null, null::boolean, null::timestamptz, null::text[], null::jsonb
  union all
  select c.part, null, null, e.*
  from (
    select m.* from context_memories(p_tenant, p_scope, p_request, v_last, v_decision_seqs, v_memories) m
    union all
    select 'cited', c, null from unnest(v_cited) c
    union all
    select 'recent', r, null from unnest(v_recent) r
    union all
    select 'paired', (p ->> 'seq')::bigint, null from jsonb_array_elements(v_pairs) p where not (p ->> 'requested')::boolean
  ) c
  cross join lateral context_event(p_tenant, p_scope, v_last, v_language, c.part, c.seq, c.memory) e;
end $$;

-- Name: read_events(text, text[], text[], text[], text[], integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.read_events(p_tenant text, p_event_ids text[], p_channels text[], p_subjects text[], p_sensitivities text[], p_most_bytes integer) RETURNS TABLE(seq bigint, event_id text, session_id text, channel text, actor_type text, actor_id text, kind text, content jsonb, user_id text, agent_id text, project_id text, sensitivity text, tags text[], refs text[], metadata jsonb, artifact_id text, redactions integer, chunk_count smallint, occurred_at timestamp with time zone, created_at timestamp with time zone, edit_ids text[], edited jsonb, blocked_in text[], edited_count smallint)
    LANGUAGE plpgsql
    AS $$
declare
  -- an assignment, because `perform` would run a query
  v_tenant text := enter_tenant(p_tenant);
begin
  return query
  select
    e.seq, e.event_id, e.session_id, e.channel, e.actor_type, e.actor_id, e.kind, e.content, e.user_id, e.agent_id, e.project_id, e.sensitivity,
    e.tags, e.refs, e.metadata, e.artifact_id, e.redactions, e.chunk_count, e.occurred_at, e.created_at, o.edit_ids, o.content, o.blocked_in, o.chunk_count
  from unnest(p_event_ids) i (event_id)
  -- `limit` forces a look-up per id
  cross join lateral (
    select * from events x where x.tenant_id = p_tenant and x.event_id = i.event_id limit 1
  ) e
  left join lateral (
    select * from overlays x where x.tenant_id = e.tenant_id and x.seq = e.seq limit 1
  ) o on true
  where visible(e.channel, e.user_id, e.sensitivity, p_channels, p_subjects, p_sensitivities)
  and (p_most_bytes is null or (e.byte_count <= p_most_bytes and o.seq is null));
end $$;

-- Name: read_log_state(text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.read_log_state(p_tenant text) RETURNS TABLE(last_seq bigint, oldest_seq bigint, event_count bigint, stored_bytes bigint, highest bigint, lowest bigint, carried_from bigint, stored_outside_log bigint, rebuilding boolean)
    LANGUAGE plpgsql
    AS $$
begin
  perform enter_tenant(p_tenant);
  return query
  select
    c.last_seq, c.oldest_seq, c.event_count, c.stored_bytes,
    (select max(e.seq) from events e where e.tenant_id = p_tenant),
    (select e.seq from events e where e.tenant_id = p_tenant and e.carried_at is null order by e.seq limit 1),
    (select min(e.seq) from events e where e.tenant_id = p_tenant and e.seq < c.oldest_seq),
    stored_outside_log(p_tenant),
    exists (select from chunk_rebuilds r where r.tenant_id = p_tenant)
  from tenant_clocks c
  where c.tenant_id = p_tenant;
end $$;

-- Name: read_search_hits(text, jsonb, bigint[], integer[]); Type: FUNCTION; Schema: public

CREATE FUNCTION public.read_search_hits(p_tenant text, p_scope jsonb, p_seqs bigint[], p_ordinals integer[]) RETURNS TABLE(seq bigint, ordinal integer, event_id text, kind text, session_id text, text text, actor_id text, tags text[], artifact_id text, chunk_count integer, occurred_at timestamp with time zone, lexemes text[], superseded boolean, memory jsonb)
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    AS $$
declare
  v_last bigint := coalesce((p_scope ->> 'as_of_seq')::bigint, 9223372036854775807);
  v_as_of timestamptz := p_scope ->> 'as_of';
  v_language regconfig;
begin
  perform enter_tenant(p_tenant);
  select t.language into v_language from tenants t where t.tenant_id = p_tenant;
  return query
  select
    c.seq, c.ordinal::int, e.event_id, c.kind, c.session_id, x.text, e.actor_id, e.tags, e.artifact_id,
    e.chunk_count::int, c.occurred_at, tsvector_to_array(to_tsvector(v_language, x.text)),
    coalesce(c.until_seq <= v_last and (v_as_of is null or c.until_at <= v_as_of), false),
    case when c.kind in ('decision', 'task_update') or c.kind like 'memory.%' then (
      select s.details || claim_fields(p_tenant, p_scope, m, s.details, c.occurred_at)
      from memory_versions v join memories m on m.tenant_id = v.tenant_id and m.memory_id = v.memory_id
      cross join lateral (
        select memory_details(p_tenant, m, c.seq, e.content, e.actor_type, e.actor_id, v_last, v_as_of) as details
        -- evaluated once
        offset 0
      ) s
      where v.tenant_id = p_tenant and v.seq = c.seq and v.status <> 'superseded'
      limit 1) end
  from unnest(p_seqs, p_ordinals) with ordinality as wanted (seq, ordinal, position)
  cross join lateral (
    select k.* from chunks k where k.tenant_id = p_tenant and k.seq = wanted.seq and k.ordinal = wanted.ordinal limit 1
  ) c
  cross join lateral (
    select s.event_id, s.actor_type, s.actor_id, s.tags, s.artifact_id, s.chunk_count, case when s.kind like 'memory.%' then s.content end as content, event_text(s.content) as said
    from seen_events(p_tenant, p_scope) s
    where s.seq = wanted.seq
    limit 1
  ) e
  -- evaluated once
  cross join lateral (select coalesce(c.text, e.said) as text offset 0) x
  order by wanted.position;
end $$;

-- Name: read_shared_events(text, text, bigint, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.read_shared_events(p_tenant text, p_job text, p_after bigint, p_limit integer) RETURNS TABLE(seq bigint, parts jsonb)
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT s.seq,
     public.nameable_parts(s.event) AS nameable_parts
    FROM ( SELECT n.seq,
             n.event,
             (sum((n.event).byte_count) OVER (ORDER BY n.seq) - (n.event).byte_count) AS before
            FROM ( SELECT e.seq,
                     e.*::public.events AS event
                    FROM (public.erasure_marks k
                      JOIN public.events e ON (((e.tenant_id = read_shared_events.p_tenant) AND (e.seq = k.seq))))
                   WHERE ((k.tenant_id = read_shared_events.p_tenant) AND (k.job_id = read_shared_events.p_job) AND (k.what = ANY (ARRAY['shared'::text, 'kin'::text])) AND (k.seq > read_shared_events.p_after) AND (e.erased_at IS NULL))
                   ORDER BY e.seq
                  LIMIT read_shared_events.p_limit) n) s
   WHERE (s.before < 1048576)
   ORDER BY s.seq;
END;

-- Name: rebuild_chunks(text, bigint, bigint, jsonb, jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.rebuild_chunks(p_tenant text, p_from bigint, p_to bigint, p_read jsonb, p_chunks jsonb) RETURNS boolean
    LANGUAGE plpgsql
    AS $_$
declare
  v_passages passage[];
  v_noun text;
begin
  perform enter_tenant(p_tenant);
  v_passages := array(
    select row(c.seq, c.ordinal, c.text, c.header, c.token_count, passage_terms(t.language, c.text, c.header, e.occurred_at))::passage
    from jsonb_to_recordset(p_chunks) c (seq bigint, ordinal smallint, text text, header text, token_count int)
    join events e on e.tenant_id = p_tenant and e.seq = c.seq
    join tenants t on t.tenant_id = p_tenant);
  perform from tenant_clocks c where c.tenant_id = p_tenant for update;
  if exists (
    select
    from jsonb_to_recordset(p_read) r (seq bigint, source text)
    left join lateral (select passage_source(e) as source from events e where e.tenant_id = p_tenant and e.seq = r.seq) now on true
    where now.source is distinct from r.source
  ) then
    return false;
  end if;
  delete from chunks c where c.tenant_id = p_tenant and c.seq between p_from and p_to;
  insert into chunks (
    tenant_id, seq, ordinal, kind, session_id, channel, sensitivity, user_id, agent_id, project_id,
    text, header, token_count, terms, occurred_at)
  select
    p_tenant, e.seq, c.ordinal, e.kind, e.session_id, e.channel, e.sensitivity, e.user_id, e.agent_id, e.project_id,
    nullif(c.text, event_text(e.content)), c.header, c.token_count, c.terms, e.occurred_at
  from unnest(v_passages) c
  join events e on e.tenant_id = p_tenant and e.seq = c.seq;
  for v_noun in select * from hooks('rebuilt') loop
    execute format('select %I($1, $2, $3)', v_noun || '_rebuilt') using p_tenant, p_from, p_to;
  end loop;
  update chunk_rebuilds r set rebuilt_to = p_to where r.tenant_id = p_tenant;
  return true;
end $_$;

-- Name: recall_key(text, text, text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.recall_key(p_tenant text, p_key text, p_body text) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
declare
  v_known idempotency_keys;
begin
  select * into v_known from idempotency_keys k where k.tenant_id = p_tenant and k.key_hash = decode(p_key, 'hex');
  if v_known.body_hash <> decode(p_body, 'hex') then
    raise exception 'this Idempotency-Key was used with a different body' using errcode = 'AM409';
  end if;
  return v_known.outcome;
end $$;

-- Name: seen_events(text, jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.seen_events(p_tenant text, p_scope jsonb) RETURNS SETOF public.events
    LANGUAGE sql STABLE
    AS $$
  select
    e.tenant_id, e.seq, e.event_id, e.session_id, e.channel, e.actor_type, e.actor_id, e.kind, coalesce(o.content, e.content), e.user_id, e.agent_id,
    e.project_id, e.sensitivity, e.tags, e.refs, e.metadata, case when o.content is null then e.artifact_id end, e.chunk_count, e.byte_count,
    e.occurred_at, e.created_at, e.supersedes, e.erased_at, e.redactions, e.session_key, e.carried_at
  from events e
  left join overlays o on o.tenant_id = p_tenant and o.seq = e.seq
  where e.tenant_id = p_tenant
    and visible(
      e.channel, e.user_id, e.sensitivity, array(select jsonb_array_elements_text(p_scope -> 'channels')),
      case when p_scope -> 'subjects' = 'null' then null else array(select jsonb_array_elements_text(p_scope -> 'subjects')) end,
      array(select jsonb_array_elements_text(p_scope -> 'sensitivities')))
    and (p_scope ->> 'as_of' is null or e.occurred_at <= (p_scope ->> 'as_of')::timestamptz)
    and is_shown_in(o.blocked_in, p_scope ->> 'channel')
$$;

-- Name: recent_session_events(text, jsonb, jsonb, bigint); Type: FUNCTION; Schema: public

CREATE FUNCTION public.recent_session_events(p_tenant text, p_scope jsonb, p_request jsonb, p_last bigint) RETURNS TABLE(seq bigint)
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT s.seq
    FROM public.seen_events(recent_session_events.p_tenant, recent_session_events.p_scope) s(tenant_id, seq, event_id, session_id, channel, actor_type, actor_id, kind, content, user_id, agent_id, project_id, sensitivity, tags, refs, metadata, artifact_id, chunk_count, byte_count, occurred_at, created_at, supersedes, erased_at, redactions, session_key, carried_at)
   WHERE ((s.session_key = public.session_key(recent_session_events.p_tenant, (recent_session_events.p_request ->> 'session_id'::text))) AND (s.session_id = (recent_session_events.p_request ->> 'session_id'::text)) AND (s.seq <= recent_session_events.p_last) AND (s.kind = ANY (ARRAY['message'::text, 'tool_call'::text, 'tool_result'::text, 'decision'::text, 'task_update'::text, 'artifact'::text])) AND (s.carried_at IS NULL) AND (((recent_session_events.p_scope -> 'filter'::text) IS NULL) OR public.event_matches(s.*, (recent_session_events.p_scope -> 'filter'::text), false, (recent_session_events.p_scope ->> 'channel'::text))) AND ((NOT (recent_session_events.p_request ? 'handoff_seq'::text)) OR (s.seq > ((recent_session_events.p_request ->> 'handoff_seq'::text))::bigint) OR (s.agent_id = (recent_session_events.p_request ->> 'agent_id'::text))))
   ORDER BY s.seq DESC
  LIMIT 60;
END;

-- Name: refs_of_memories(text, text[], bigint, timestamp with time zone); Type: FUNCTION; Schema: public

CREATE FUNCTION public.refs_of_memories(p_tenant text, p_memory_ids text[], p_last bigint DEFAULT NULL::bigint, p_as_of timestamp with time zone DEFAULT NULL::timestamp with time zone) RETURNS TABLE(ref text)
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT DISTINCT g.ref
    FROM ((unnest(refs_of_memories.p_memory_ids) m(id)
      CROSS JOIN LATERAL ( SELECT v.content_seq
            FROM public.memory_versions v
           WHERE ((v.tenant_id = refs_of_memories.p_tenant) AND (v.memory_id = m.id) AND ((refs_of_memories.p_last IS NULL) OR ((v.seq + 0) <= refs_of_memories.p_last)) AND ((refs_of_memories.p_as_of IS NULL) OR (refs_of_memories.p_as_of >= ( SELECT e.occurred_at
                    FROM public.events e
                   WHERE ((e.tenant_id = v.tenant_id) AND (e.seq = v.seq))))))
           ORDER BY v.version DESC
          LIMIT 1) stood)
      CROSS JOIN LATERAL ( SELECT o.ref
            FROM public.memory_refs(refs_of_memories.p_tenant, m.id, stood.content_seq, refs_of_memories.p_last, refs_of_memories.p_as_of) o(ref, seq, place)
           ORDER BY o.seq DESC, o.place, o.ref
          LIMIT 256) g);
END;

-- Name: refuse_while_importing(); Type: FUNCTION; Schema: public

CREATE FUNCTION public.refuse_while_importing() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
  raise exception 'the tenant is being imported' using errcode = 'AM409';
end $$;

-- Name: register_user(text, boolean, text, bytea, jsonb, jsonb, bigint); Type: FUNCTION; Schema: public

CREATE FUNCTION public.register_user(p_tenant text, p_open boolean, p_invite text, p_hash bytea, p_user jsonb, p_session jsonb, p_max_bytes bigint) RETURNS TABLE(status text, role text, generation integer)
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_column
declare
  v_role text := 'owner';
begin
  perform enter_tenant(p_tenant);
  if p_invite is null then
    if not p_open or not make_tenant(p_tenant, p_max_bytes) then
      return query select 'refused', null::text, null::int;
      return;
    end if;
  else
    perform from invites i where i.tenant_id = p_tenant and i.invite_id = p_invite for update;
    select i.role into v_role from valid_invite(p_tenant, p_invite, p_hash, p_user ->> 'username') i;
    if not found then
      return query select 'refused', null::text, null::int;
      return;
    end if;
  end if;
  insert into users (tenant_id, user_id, username, email, password_hash, role, subject)
  select p_tenant, u.user_id, u.username, u.email, u.password_hash, v_role, u.username
  from jsonb_to_record(p_user) as u (user_id text, username text, email text, password_hash text)
  where not username_taken(p_tenant, u.username)
  on conflict do nothing;
  if not found then
    return query select 'taken', null::text, null::int;
    return;
  end if;
  update invites i set used_at = now(), used_by = p_user ->> 'user_id' where i.tenant_id = p_tenant and i.invite_id = p_invite;
  perform open_session(p_tenant, p_user ->> 'user_id', p_session);
  return query select 'ok', v_role, 1;
end $$;

-- Name: release_job(text, text, integer, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.release_job(p_tenant text, p_job text, p_token integer, p_after_ms integer) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
begin
  perform enter_tenant(p_tenant);
  update jobs j set updated_at = clock_timestamp(), due_at = clock_timestamp() + interval '1 millisecond' * p_after_ms
  where j.tenant_id = p_tenant and j.job_id = p_job and j.token = p_token and j.state = 'running';
  return found;
end $$;

-- Name: release_webhook(text, text, bigint, boolean); Type: FUNCTION; Schema: public

CREATE FUNCTION public.release_webhook(p_tenant text, p_webhook_id text, p_lease_id bigint, p_slow boolean) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
  perform enter_tenant(p_tenant);
  update webhooks w
  set
    lease_until = null, slow = p_slow,
    due_at = case
      when w.replaying then clock_timestamp()
      when w.cursor < (select c.last_seq from tenant_clocks c where c.tenant_id = p_tenant) then greatest(w.retry_at, clock_timestamp()) end
  where w.tenant_id = p_tenant and w.webhook_id = p_webhook_id and w.lease_id = p_lease_id;
end $$;

-- Name: idempotency_keys; Type: TABLE; Schema: public

CREATE TABLE public.idempotency_keys (
    tenant_id text NOT NULL,
    key_hash bytea NOT NULL,
    body_hash bytea NOT NULL,
    outcome jsonb NOT NULL,
    created_at timestamp with time zone NOT NULL
);

ALTER TABLE ONLY public.idempotency_keys FORCE ROW LEVEL SECURITY;

-- Name: remember_key(text, text, text, jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.remember_key(p_tenant text, p_key text, p_body text, p_outcome jsonb) RETURNS void
    LANGUAGE sql
    BEGIN ATOMIC
 INSERT INTO public.idempotency_keys (tenant_id, key_hash, body_hash, outcome, created_at)
   VALUES (remember_key.p_tenant, decode(remember_key.p_key, 'hex'::text), decode(remember_key.p_body, 'hex'::text), remember_key.p_outcome, clock_timestamp());
END;

-- Name: remember_units(text, public.verdict[], public.answer[], timestamp with time zone); Type: FUNCTION; Schema: public

CREATE FUNCTION public.remember_units(p_tenant text, p_verdicts public.verdict[], p_answers public.answer[], p_at timestamp with time zone) RETURNS SETOF public.unit_outcome
    LANGUAGE plpgsql
    AS $$
declare
  v_told jsonb := '{}';
  v_kept jsonb := '{}';
begin
  if p_answers is not null then
    v_told := told_by(p_answers);
  end if;
  if exists (select from unnest(p_answers) a where a.kept) then
    v_kept := told_by(array(select a from unnest(p_answers) a where a.kept));
    update idempotency_keys k set outcome = k.outcome || (v_kept -> v.unit::text)
    from unnest(p_verdicts) v
    where v_kept ? v.unit::text and k.tenant_id = p_tenant and k.key_hash = v.key_hash;
  end if;
  return query
  select
    case when v.status <> 'echo' then v.status when lead.status = 'new' then 'replay' else lead.status end,
    coalesce(
      lead.outcome,
      jsonb_build_object('seq', lead.seq, 'count', lead.count) || coalesce(case when v.status = 'new' then v_told else v_kept end -> lead.unit::text, '{}')),
    coalesce(lead.at, p_at)
  from unnest(p_verdicts) v
  cross join lateral (select (p_verdicts[v.leader]).*) lead
  order by v.unit;
end $$;

-- Name: rename_citations(text, text, jsonb, text, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.rename_citations(p_tenant text, p_job text, p_erasure jsonb, p_after text, p_limit integer) RETURNS TABLE(last text, counts jsonb)
    LANGUAGE plpgsql
    AS $$
declare
  v_seqs bigint[];
begin
  select max(k.id), coalesce(array_agg(k.seq) filter (where not exists (
    select from erasure_marks o where o.tenant_id = p_tenant and o.job_id = p_job and o.what = 'event' and o.id = k.id)), '{}')
  into last, v_seqs
  from (
    select k.id, k.seq from erasure_marks k
    where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'ref' and k.id > p_after order by k.id limit p_limit) k;
  if not p_erasure ? 'dry_run' then
    perform from tenant_clocks c where c.tenant_id = p_tenant for update;
    perform rename_refs(v_seqs, p_erasure ->> 'subject', p_erasure ->> 'name');
  end if;
  counts := jsonb_build_object('citing_events', cardinality(v_seqs));
  return next;
end $$;

-- Name: rename_event(bigint, jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.rename_event(p_seq bigint, p_parts jsonb) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
  update public.events e
  set session_id = f.session_id, user_id = f.user_id, agent_id = f.agent_id, project_id = f.project_id, actor_id = f.actor_id,
    tags = f.tags, refs = f.refs, content = p_parts -> 'content', metadata = p_parts -> 'metadata',
    byte_count = pg_column_size(p_parts -> 'content') + pg_column_size(p_parts -> 'metadata')
  from jsonb_to_record(p_parts -> 'fields') as f (
    session_id text, user_id text, agent_id text, project_id text, actor_id text, tags text[], refs text[])
  where e.tenant_id = (select public.current_tenant()) and e.seq = p_seq and e.erased_at is null
$$;

ALTER FUNCTION public.rename_event(p_seq bigint, p_parts jsonb) OWNER TO agent_memory_blanker;

-- Name: rename_parts(text, bigint, jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.rename_parts(p_tenant text, p_seq bigint, p_parts jsonb) RETURNS void
    LANGUAGE plpgsql
    AS $_$
declare
  v_noun text;
  v_before bigint := measure_log(p_tenant, p_seq, p_seq);
begin
  perform rename_event(p_seq, p_parts);
  for v_noun in select * from hooks('rename') loop
    execute format('select %I($1, $2, $3)', v_noun || '_rename') using p_tenant, p_seq, p_parts;
  end loop;
  perform shrink_log(p_tenant, v_before - measure_log(p_tenant, p_seq, p_seq));
end $_$;

-- Name: rename_refs(bigint[], text, text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.rename_refs(p_seqs bigint[], p_subject text, p_name text) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
declare
  v_count bigint;
begin
  update public.events e set refs = array_replace(e.refs, p_subject, p_name)
  where e.tenant_id = (select public.current_tenant()) and e.seq = any (p_seqs);
  get diagnostics v_count = row_count;
  return v_count;
end $$;

ALTER FUNCTION public.rename_refs(p_seqs bigint[], p_subject text, p_name text) OWNER TO agent_memory_blanker;

-- Name: rename_shared(text, text, integer, integer, jsonb, jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.rename_shared(p_tenant text, p_job text, p_token integer, p_lease_ms integer, p_cursor jsonb, p_docs jsonb) RETURNS TABLE(held boolean, stale integer)
    LANGUAGE plpgsql
    AS $$
declare
  v_doc record;
begin
  perform enter_tenant(p_tenant);
  held := report_job(p_tenant, p_job, p_token, null, null, null, p_lease_ms);
  stale := 0;
  if held then
    perform from tenant_clocks c where c.tenant_id = p_tenant for update;
    for v_doc in
      select d.seq, d.parts, md5(nameable_parts(e)::text) <> d.was as is_stale
      from jsonb_to_recordset(p_docs) d (seq bigint, was text, parts jsonb)
      join events e on e.tenant_id = p_tenant and e.seq = d.seq and e.erased_at is null
    loop
      if v_doc.is_stale then
        stale := stale + 1;
      else
        perform rename_parts(p_tenant, v_doc.seq, v_doc.parts);
      end if;
    end loop;
    if stale = 0 then
      perform report_job(p_tenant, p_job, p_token, null, null, p_cursor, p_lease_ms);
    end if;
  end if;
  return next;
end $$;

-- Name: renew_import(text, text, bigint, bigint, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.renew_import(p_tenant text, p_import text, p_events bigint, p_total bigint, p_lease_ms integer) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
  perform enter_tenant(p_tenant);
  perform from tenant_clocks c where c.tenant_id = p_tenant and c.importing = p_import for update;
  if not found or not advance_job(p_tenant, p_import, p_events, p_total, p_lease_ms) then
    raise exception 'the import was aborted' using errcode = 'AM409';
  end if;
end $$;

-- Name: repair_clock(text, bigint, bigint, bigint); Type: FUNCTION; Schema: public

CREATE FUNCTION public.repair_clock(p_tenant text, p_upto bigint, p_count bigint, p_bytes bigint) RETURNS void
    LANGUAGE plpgsql
    AS $$
declare
  v_clock tenant_clocks;
  v_last bigint;
  v_first bigint;
begin
  perform enter_tenant(p_tenant);
  select * into v_clock from tenant_clocks c where c.tenant_id = p_tenant for update;
  v_last := (select max(e.seq) from events e where e.tenant_id = p_tenant);
  v_first := (select e.seq from events e where e.tenant_id = p_tenant and e.carried_at is null order by e.seq limit 1);
  perform set_clock(
    p_tenant,
    greatest(v_clock.last_seq, v_last),
    least(v_clock.oldest_seq, v_first),
    p_count + (select count(*) from events e where e.tenant_id = p_tenant and e.seq > p_upto),
    p_bytes + measure_log(p_tenant, p_upto + 1, greatest(v_clock.last_seq, v_last)));
end $$;

-- Name: repair_log(text, bigint, bigint); Type: FUNCTION; Schema: public

CREATE FUNCTION public.repair_log(p_tenant text, p_from bigint, p_to bigint) RETURNS bigint
    LANGUAGE plpgsql
    AS $_$
declare
  v_noun text;
  v_changed bigint;
  v_sum bigint := 0;
begin
  perform enter_tenant(p_tenant);
  for v_noun in select * from hooks('repair') loop
    execute format('select %I($1, $2, $3)', v_noun || '_repair') into v_changed using p_tenant, p_from, p_to;
    v_sum := v_sum + coalesce(v_changed, 0);
  end loop;
  return v_sum;
end $_$;

-- Name: repair_rows(text, text, text, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.repair_rows(p_tenant text, p_noun text, p_after text, p_limit integer) RETURNS TABLE(changed bigint, last text)
    LANGUAGE plpgsql
    AS $_$
begin
  perform enter_tenant(p_tenant);
  return query execute format('select changed, last from %I($1, $2, $3)', p_noun || '_repair_rows') using p_tenant, p_after, p_limit;
end $_$;

-- Name: replace_content(text, public.memory_effect, bigint); Type: FUNCTION; Schema: public

CREATE FUNCTION public.replace_content(p_tenant text, p_effect public.memory_effect, p_from bigint) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
  update memories m
  set content_seq = p_effect.seq, repeats = 0, importance = p_effect.importance, pinned = p_effect.pinned, valid_from = p_effect.valid_from,
    valid_to = p_effect.valid_to, expires_at = p_effect.expires_at, tags = p_effect.tags, agent_id = p_effect.agent_id, session_id = p_effect.session_id,
    project_id = p_effect.project_id
  where m.tenant_id = p_tenant and m.memory_id = p_effect.target_id and m.content_seq = p_from;
  if found then
    update memory_versions v set content_seq = p_effect.seq
    where v.tenant_id = p_tenant and v.memory_id = p_effect.target_id and v.seq >= p_effect.seq and v.content_seq = p_from;
    perform end_passages(p_tenant, p_effect.target_id, p_effect.seq, e.occurred_at) from events e where e.tenant_id = p_tenant and e.seq = p_effect.seq;
  end if;
end $$;

-- Name: replace_memory(text, text, integer, jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.replace_memory(p_tenant text, p_memory_id text, p_version integer, p_unit jsonb) RETURNS public.unit_outcome
    LANGUAGE plpgsql
    AS $$
begin
  perform lock_memory(p_tenant, p_memory_id, p_version, array['active'], p_unit);
  return commit_unit(p_tenant, p_unit);
end $$;

-- Name: report_job(text, text, integer, bigint, bigint, jsonb, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.report_job(p_tenant text, p_job text, p_token integer, p_done bigint, p_total bigint, p_cursor jsonb, p_lease_ms integer) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
begin
  perform enter_tenant(p_tenant);
  update jobs j
  set done = coalesce(p_done, j.done), total = coalesce(p_total, j.total), cursor = coalesce(p_cursor, j.cursor),
    tries = case when p_cursor is distinct from j.cursor and p_cursor is not null then 1 else j.tries end,
    updated_at = clock_timestamp(), due_at = clock_timestamp() + interval '1 millisecond' * p_lease_ms
  where j.tenant_id = p_tenant and j.job_id = p_job and j.token = p_token and j.state = 'running';
  return found;
end $$;

-- Name: resolve_effects(text, public.effect[], text[]); Type: FUNCTION; Schema: public

CREATE FUNCTION public.resolve_effects(p_tenant text, p_effects public.effect[], p_superseded text[]) RETURNS public.memory_effect[]
    LANGUAGE plpgsql STABLE
    AS $$
begin
  return array(
    with requested as materialized (
      select
        f.ordinality as ordinal, f.unit, f.event, f.seq, f.channel, f.sensitivity, f.user_id, f.agent_id,
        nullif(f.session_id, r.memory_id) as session_id, f.project_id, f.tags, r.*, same.*,
        case when r.status = 'active' then row(same.hash, r.kind, same.scope_id, r.scope, same.subject, f.channel, same.apart)::text
          else r.memory_id end as key
      from unnest(p_effects) with ordinality f
      cross join lateral jsonb_to_record(f.doc) r (
        memory_id text, kind text, scope text, text_hash text, status text, importance real, pinned boolean, valid_from timestamptz,
        valid_to timestamptz, expires_at timestamptz, task_status text, task_ref text, counted boolean, only_new boolean)
      cross join lateral (
        select
          -- Another user's private task counts as absent, or the answer would confirm a guessed name.
          coalesce(
            (select t.text_hash
             from memories t
             where t.tenant_id = p_tenant and t.memory_id = r.task_ref and t.kind || t.status = 'taskactive'
               and t.channel || '' = f.channel and (f.channel <> 'private' or t.user_id = f.user_id)),
            decode(r.text_hash, 'hex')) as hash,
          scope_id(r.scope, f.project_id, f.session_id, f.user_id) as scope_id,
          same_subject(r.kind, f.channel, f.user_id) as subject,
          case when r.kind = 'task' then '' else f.sensitivity end as apart
      ) same
    )
    select row(
      w.unit, w.event, w.seq, coalesce(existing.memory_id, first_value(w.memory_id) over same), w.memory_id, w.kind, w.scope, w.scope_id, w.status,
      w.hash, w.importance, w.pinned, w.valid_from, w.valid_to, w.expires_at, w.task_status, w.channel, w.sensitivity, w.user_id, w.agent_id,
      w.session_id, w.project_id, w.tags, p_superseded[w.ordinal], coalesce(w.counted, false), coalesce(w.only_new, false),
      existing.version, existing.content_seq, existing.row_id, row_number() over same,
      greatest(count(*) filter (where not coalesce(w.counted, false)) over (partition by w.key), (existing.memory_id is null)::int),
      count(*) over (partition by w.key), first_value(w.seq) over same)::memory_effect
    from requested w
    left join lateral (
      select m.memory_id, m.version, m.content_seq, m.ctid as row_id
      from memories m
      where w.status = 'active' and m.tenant_id = p_tenant and m.status = 'active'
        and m.text_hash >= w.hash and m.text_hash <= w.hash and m.kind || '' = w.kind and m.scope = w.scope
        and m.scope_id is not distinct from w.scope_id and same_subject(m.kind, m.channel, m.user_id) is not distinct from w.subject
        and m.channel = w.channel and (case when m.kind = 'task' then '' else m.sensitivity end) = w.apart
      order by m.text_hash
      limit 1
    ) existing on true
    window same as (partition by w.key order by w.seq)
    order by w.ordinal);
end $$;

-- Name: restate_memory(public.memories, public.events, text[], text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.restate_memory(p_memory public.memories, p_home public.events, p_refs text[], p_event_id text) RETURNS void
    LANGUAGE plpgsql
    AS $$
declare
  v_tenant text := p_memory.tenant_id;
  v_seq bigint := say(v_tenant, jsonb_strip_nulls(jsonb_build_object(
    'event_id', p_event_id, 'session_id', p_home.session_id, 'channel', p_home.channel, 'actor_type', p_home.actor_type, 'actor_id', p_home.actor_id,
    'kind', 'memory.updated', 'user_id', p_home.user_id, 'agent_id', p_home.agent_id, 'project_id', p_home.project_id,
    'sensitivity', p_home.sensitivity, 'tags', to_jsonb(p_home.tags), 'refs', to_jsonb(p_refs), 'metadata', p_home.metadata,
    'content', memory_content(p_memory, p_home),
    'chunk_count', (select count(*) from chunks c where c.tenant_id = v_tenant and c.seq = p_home.seq),
    'effects', jsonb_build_object('passages', passages_of(v_tenant, p_home.seq)))));
begin
  perform copy_chunk_edits(v_tenant, p_home.seq, v_seq);
  insert into memory_versions (tenant_id, memory_id, version, seq, content_seq, status)
  values (v_tenant, p_memory.memory_id, p_memory.version + 1, v_seq, v_seq, p_memory.status);
  update memories m
  set version = m.version + 1, content_seq = v_seq, last_seq = v_seq, updated_at = clock_timestamp(),
    task_status = case when m.kind = 'task' then coalesce(p_home.content ->> 'status', p_home.content -> 'body' ->> 'status', m.task_status) end
  where m.tenant_id = v_tenant and m.memory_id = p_memory.memory_id;
  -- of all that it said: where its text stands has just moved
  perform end_passages(v_tenant, p_memory.memory_id, v_seq, clock_timestamp(), 0);
end $$;

-- Name: retain_blank(text, text, jsonb, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.retain_blank(p_tenant text, p_job text, p_cursor jsonb, p_limit integer) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
declare
  v_step record;
begin
  select * into v_step from blank_marked(p_tenant, p_job, p_cursor ->> 'after', p_limit, '{"erased": true, "retention": true}', null, null);
  -- of a run the API counts these alone
  return case when v_step.last is null then '{"phase": "say"}' else jsonb_build_object('after', v_step.last, 'counts', jsonb_build_object(
    'events', v_step.counts -> 'events', 'chunks', v_step.counts -> 'chunks', 'artifacts', v_step.counts -> 'artifacts')) end;
end $$;

-- Name: retain_bound(text, jsonb, jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.retain_bound(p_tenant text, p_cursor jsonb, p_input jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
begin
  return (
    select jsonb_build_object(
      'phase', 'need', 'trim_to', greatest(trim_bound(p_tenant, p_input -> 'trim', (p_cursor ->> 'now')::timestamptz), c.oldest_seq - 1),
      'new', c.last_seq, 'needed', '{}'::jsonb, 'until', c.last_seq, 'rounds', 1)
    from tenant_clocks c where c.tenant_id = p_tenant);
end $$;

-- Name: retain_find(text, text, jsonb, jsonb, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.retain_find(p_tenant text, p_job text, p_cursor jsonb, p_input jsonb, p_limit integer) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
declare
  v_upto bigint := (p_cursor ->> 'upto')::bigint;
  -- what was carried lies far apart
  v_after bigint := coalesce(
    (select e.seq - 1 from events e where e.tenant_id = p_tenant and e.seq > (p_cursor ->> 'after')::bigint order by e.seq limit 1), v_upto);
  v_next bigint := least(v_upto, v_after + p_limit * 10);
begin
  perform mark_expired(p_tenant, p_job, p_input -> 'rules', (p_cursor ->> 'now')::timestamptz, v_after + 1, v_next);
  if v_next < v_upto then
    return jsonb_build_object('after', v_next::text);
  end if;
  return (
    select jsonb_build_object('phase', 'blank', 'total', count(*), 'first_seq', min(k.seq), 'last_seq', max(k.seq))
    from erasure_marks k where k.tenant_id = p_tenant and k.job_id = p_job and k.what = 'event');
end $$;

-- Name: retain_need(text, text, jsonb, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.retain_need(p_tenant text, p_job text, p_cursor jsonb, p_limit integer) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
declare
  v_rounds int := (p_cursor ->> 'rounds')::int;
  v_until bigint := (p_cursor ->> 'until')::bigint;
  v_last bigint := (select c.last_seq from tenant_clocks c where c.tenant_id = p_tenant);
  v_step record;
begin
  select * into v_step
  from mark_needs(p_tenant, p_job, (p_cursor ->> 'trim_to')::bigint, (p_cursor ->> 'new')::bigint, p_cursor -> 'needed', v_until, p_limit);
  return jsonb_build_object('needed', v_step.needed) || case when v_step.done then jsonb_build_object(
    -- what was written meanwhile is less each time; the rest is marked while the writers wait
    'phase', case when v_last = v_until or v_rounds = 4 then 'trim' else 'need' end, 'until', v_last, 'rounds', v_rounds + 1) else '{}' end;
end $$;

-- Name: retain_pins(text, text, jsonb, jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.retain_pins(p_tenant text, p_job text, p_cursor jsonb, p_input jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    AS $_$
declare
  v_noun text;
  v_seqs bigint[];
  v_days float8 := (select min((r ->> 'older_than_days')::float8) from jsonb_array_elements(p_input -> 'rules') r);
begin
  for v_noun in select * from hooks('pin') loop
    execute format('select array(select %I($1))', v_noun || '_pin') into v_seqs using p_tenant;
    perform mark_seqs(p_tenant, p_job, 'pin', v_seqs);
  end loop;
  return jsonb_build_object(
    'phase', 'find', 'after', '0', 'upto', coalesce(seq_before(p_tenant, (p_cursor ->> 'now')::timestamptz - interval '1 day' * v_days), 0));
end $_$;

-- Name: retain_say(text, text, jsonb, jsonb, jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.retain_say(p_tenant text, p_job text, p_cursor jsonb, p_input jsonb, p_event jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
declare
  v_counts jsonb := '{}';
begin
  perform from tenant_clocks c where c.tenant_id = p_tenant for update;
  if (p_cursor -> 'counts' ->> 'events')::bigint > 0 then
    v_counts := expire_marked(p_tenant, p_job, say(p_tenant, p_event), false);
  end if;
  return jsonb_build_object('phase', case when p_input ->> 'trim' is null then 'over' else 'bound' end, 'counts', v_counts);
end $$;

-- Name: retain_step(text, text, integer, integer, integer, jsonb, jsonb, jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.retain_step(p_tenant text, p_job text, p_token integer, p_lease_ms integer, p_limit integer, p_cursor jsonb, p_input jsonb, p_event jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
declare
  v_step jsonb;
  v_counts jsonb;
begin
  perform enter_tenant(p_tenant);
  if not report_job(p_tenant, p_job, p_token, null, null, null, p_lease_ms) then
    return null;
  end if;
  v_step := case p_cursor ->> 'phase'
    when 'pins' then retain_pins(p_tenant, p_job, p_cursor, p_input)
    when 'find' then retain_find(p_tenant, p_job, p_cursor, p_input, p_limit)
    when 'blank' then retain_blank(p_tenant, p_job, p_cursor, p_limit)
    when 'say' then retain_say(p_tenant, p_job, p_cursor, p_input, p_event)
    when 'bound' then retain_bound(p_tenant, p_cursor, p_input)
    when 'need' then retain_need(p_tenant, p_job, p_cursor, p_limit)
    when 'trim' then retain_trim(p_tenant, p_job, p_cursor, p_limit) end;
  v_counts := add_counts(coalesce(p_cursor -> 'counts', '{}'), coalesce(v_step -> 'counts', '{}'));
  p_cursor := p_cursor || '{"after": ""}' || (v_step - 'total') || jsonb_build_object('counts', v_counts);
  perform report_job(
    p_tenant, p_job, p_token, coalesce((v_counts ->> 'events')::bigint, 0), (v_step ->> 'total')::bigint, p_cursor, p_lease_ms);
  return p_cursor;
end $$;

-- Name: retain_trim(text, text, jsonb, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.retain_trim(p_tenant text, p_job text, p_cursor jsonb, p_limit integer) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
declare
  v_to bigint := (p_cursor ->> 'trim_to')::bigint;
  v_needed jsonb := p_cursor -> 'needed';
  v_done boolean := false;
  v_step record;
begin
  perform from tenant_clocks c where c.tenant_id = p_tenant for update;
  while not v_done loop
    select m.needed, m.done into v_needed, v_done
    from mark_needs(p_tenant, p_job, v_to, (p_cursor ->> 'new')::bigint, v_needed, 9223372036854775807, p_limit) m;
  end loop;
  select * into v_step from trim_step(p_tenant, p_job, coalesce(nullif(p_cursor ->> 'after', ''), '0')::bigint, v_to, p_limit);
  return jsonb_build_object(
    'phase', case when v_step.last_seq is null then 'over' else 'trim' end, 'after', coalesce(v_step.last_seq::text, ''), 'needed', v_needed,
    'counts', jsonb_build_object('trimmed', v_step.trimmed, 'carried', v_step.carried));
end $$;

-- Name: retained_among(text, bigint[]); Type: FUNCTION; Schema: public

CREATE FUNCTION public.retained_among(p_tenant text, p_seqs bigint[]) RETURNS bigint[]
    LANGUAGE plpgsql STABLE
    AS $_$
declare
  v_noun text;
  v_seqs bigint[] := '{}';
  v_more bigint[];
begin
  for v_noun in select * from hooks('stay') loop
    execute format('select array(select %I($1, $2))', v_noun || '_stay') into v_more using p_tenant, p_seqs;
    v_seqs := v_seqs || v_more;
  end loop;
  return v_seqs;
end $_$;

-- Name: revise_memory(text, text, integer, text[], jsonb, jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.revise_memory(p_tenant text, p_memory_id text, p_version integer, p_statuses text[], p_state jsonb, p_unit jsonb) RETURNS public.unit_outcome
    LANGUAGE plpgsql
    AS $$
declare
  v_new boolean := lock_memory(p_tenant, p_memory_id, p_version, p_statuses, p_unit);
  v_done unit_outcome;
  v_seq bigint;
  v_from bigint := (select m.content_seq from memories m where m.tenant_id = p_tenant and m.memory_id = p_memory_id);
  v_old text;
begin
  v_done := commit_unit(p_tenant, p_unit);
  if v_new and v_done.status = 'new' then
    v_seq := (v_done.outcome ->> 'seq')::bigint;
    if p_state ->> 'supersedes' is not null then
      v_old := supersede(p_tenant, p_state ->> 'supersedes', v_seq);
      update memories m set superseded_by = p_memory_id where m.tenant_id = p_tenant and m.memory_id = v_old;
    end if;
    update memories m
    set
      version = m.version + 1, content_seq = v_seq, last_seq = v_seq, updated_at = v_done.at, status = s.status, repeats = 0,
      sensitivity = p_unit #>> '{events,0,sensitivity}',
      text_hash = decode(s.text_hash, 'hex'), importance = s.importance, pinned = s.pinned, tags = s.tags, valid_from = s.valid_from,
      valid_to = s.valid_to, expires_at = s.expires_at, task_status = s.task_status
    from jsonb_to_record(p_state) s (
      status text, text_hash text, importance real, pinned boolean, tags text[], valid_from timestamptz, valid_to timestamptz,
      expires_at timestamptz, task_status text)
    where m.tenant_id = p_tenant and m.memory_id = p_memory_id;
    insert into memory_versions (tenant_id, memory_id, version, seq, content_seq, status)
    select p_tenant, p_memory_id, m.version, v_seq, v_seq, m.status
    from memories m
    where m.tenant_id = p_tenant and m.memory_id = p_memory_id;
    perform end_passages(p_tenant, p_memory_id, v_seq, e.occurred_at) from events e where e.tenant_id = p_tenant and e.seq = v_seq;
    perform apply_task_updates(p_tenant, array[p_memory_id], v_seq);
    if not (p_state ->> 'restated')::boolean then
      perform carry_hiding(p_tenant, v_from, v_seq);
    end if;
  end if;
  return v_done;
end $$;

-- Name: revoke_capsule(text, jsonb, text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.revoke_capsule(p_tenant text, p_unit jsonb, p_capsule_id text) RETURNS public.unit_outcome
    LANGUAGE plpgsql
    AS $$
declare
  v_done unit_outcome;
begin
  v_done := commit_unit(p_tenant, p_unit);
  if v_done.status = 'new' then
    update capsules c set revoked_at = v_done.at, revoked_seq = (v_done.outcome ->> 'seq')::bigint
    where c.tenant_id = p_tenant and c.capsule_id = p_capsule_id and c.revoked_at is null and c.expires_at > v_done.at;
    if not found then
      raise exception 'the capsule has already expired or been revoked' using errcode = 'AM409';
    end if;
  end if;
  return v_done;
end $$;

-- Name: rewrite_passages(text, public.events, jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.rewrite_passages(p_tenant text, p_event public.events, p_passages jsonb) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
  delete from chunks c where c.tenant_id = p_tenant and c.seq = p_event.seq and c.ordinal >= jsonb_array_length(p_passages);
  insert into chunks (
    tenant_id, seq, ordinal, kind, session_id, channel, sensitivity, user_id, agent_id, project_id,
    text, header, token_count, terms, occurred_at, until_seq, until_at, valid, weight, blocked_in)
  select
    p_tenant, p_event.seq, x.ordinal, p_event.kind, p_event.session_id, p_event.channel, p_event.sensitivity,
    p_event.user_id, p_event.agent_id, p_event.project_id, x.text, x.header, x.token_count,
    case
      when x.retracted then '{}'
      when x.text = coalesce(c.text, event_text(p_event.content)) and x.header = c.header then c.terms
      else passage_terms(t.language, x.text, x.header, p_event.occurred_at) end,
    p_event.occurred_at, f.until_seq, f.until_at, f.valid, x.weight, x.blocked_in
  from jsonb_to_recordset(p_passages) x (
    ordinal smallint, text text, header text, token_count int, weight real, blocked_in text[], retracted boolean)
  join tenants t on t.tenant_id = p_tenant
  left join chunks c on c.tenant_id = p_tenant and c.seq = p_event.seq and c.ordinal = x.ordinal
  left join chunks f on f.tenant_id = p_tenant and f.seq = p_event.seq and f.ordinal = 0
  -- not an update: a rebuild may take the rows away meanwhile, and this waits for those it puts back
  on conflict (tenant_id, seq, ordinal) do update
  set text = excluded.text, header = excluded.header, token_count = excluded.token_count, terms = excluded.terms, weight = excluded.weight,
    blocked_in = excluded.blocked_in;
end $$;

-- Name: rewritten_seqs(text, bigint, bigint); Type: FUNCTION; Schema: public

CREATE FUNCTION public.rewritten_seqs(p_tenant text, p_from bigint, p_to bigint) RETURNS SETOF bigint
    LANGUAGE plpgsql STABLE
    AS $_$
declare
  v_noun text;
begin
  for v_noun in select * from hooks('rewritten') loop
    return query execute format('select * from %I($1, $2, $3)', v_noun || '_rewritten') using p_tenant, p_from, p_to;
  end loop;
end $_$;

-- Name: rotate_refresh_token(text, text, bytea, bytea, text, bytea, integer, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.rotate_refresh_token(p_tenant text, p_token text, p_hash bytea, p_nonce bytea, p_child text, p_child_hash bytea, p_ttl_s integer, p_grace_s integer) RETURNS TABLE(status text, child text, nonce bytea, session_id text, user_id text, username text, role text, generation integer)
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_column
declare
  v_token refresh_tokens;
  v_user users;
begin
  perform enter_tenant(p_tenant);
  select * into v_token from refresh_tokens r
  where r.tenant_id = p_tenant and r.token_id = p_token and r.secret_hash = p_hash for update;
  select u.* into v_user
  from sessions s
  join users u on u.tenant_id = s.tenant_id and u.user_id = s.user_id and u.disabled_at is null
  join tenants t on t.tenant_id = s.tenant_id and t.state = 'active'
  where s.tenant_id = p_tenant and s.session_id = v_token.session_id and s.revoked_at is null and s.expires_at > now();
  if v_user.user_id is null then
    status := 'refused';
  elsif v_token.rotated_at is null then
    status := 'rotated';
    insert into refresh_tokens (tenant_id, token_id, session_id, secret_hash)
    values (p_tenant, p_child, v_token.session_id, p_child_hash);
    update refresh_tokens r set rotated_at = clock_timestamp(), replaced_by = p_child, nonce = p_nonce
    where r.tenant_id = p_tenant and r.token_id = p_token;
    update sessions s set used_at = now(), expires_at = now() + interval '1 second' * p_ttl_s
    where s.tenant_id = p_tenant and s.session_id = v_token.session_id;
    delete from refresh_tokens r
    where r.tenant_id = p_tenant and r.session_id = v_token.session_id and r.rotated_at < now() - interval '1 second' * p_ttl_s;
    v_token.replaced_by := p_child;
    v_token.nonce := p_nonce;
  elsif v_token.rotated_at > clock_timestamp() - interval '1 second' * p_grace_s then
    status := 'grace';
  else
    status := 'reuse';
    update sessions s set revoked_at = now() where s.tenant_id = p_tenant and s.session_id = v_token.session_id;
  end if;
  return query
  select status, v_token.replaced_by, v_token.nonce, v_token.session_id, v_user.user_id, v_user.username, v_user.role, v_user.generation;
end $$;

-- Name: run_noun_step(text, text, text, jsonb, text, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.run_noun_step(p_hook text, p_tenant text, p_job text, p_erasure jsonb, p_after text, p_limit integer) RETURNS TABLE(last text, counts jsonb)
    LANGUAGE plpgsql
    AS $_$
declare
  v_nouns text[] := array(select h from hooks(p_hook) h);
  v_noun text := coalesce(nullif(split_part(p_after, '/', 1), ''), v_nouns[1]);
begin
  execute format('select last, counts from %I($1, $2, $3, $4, $5)', v_noun || '_' || p_hook) into last, counts
  using p_tenant, p_job, p_erasure, substr(p_after, length(v_noun) + 2), p_limit;
  last := case when last is null then v_nouns[array_position(v_nouns, v_noun) + 1] || '/' else v_noun || '/' || last end;
  return next;
end $_$;

-- Name: same_subject(text, text, text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.same_subject(p_kind text, p_channel text, p_user_id text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN ((p_kind = 'task'::text) AND (p_channel <> 'private'::text)) THEN ''::text ELSE p_user_id END;

-- Name: say(text, jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.say(p_tenant text, p_event jsonb) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
declare
  v_max bigint;
  v_seq bigint;
begin
  select c.max_bytes into v_max from tenant_clocks c where c.tenant_id = p_tenant for update;
  update tenant_clocks c set max_bytes = null where c.tenant_id = p_tenant;
  v_seq := (commit_unit(p_tenant, jsonb_build_object(
    'key', null, 'body', null, 'bytes', octet_length(p_event::text), 'events', jsonb_build_array(p_event)))).outcome ->> 'seq';
  update tenant_clocks c set max_bytes = v_max where c.tenant_id = p_tenant;
  return v_seq;
end $$;

-- Name: scope_id(text, text, text, text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.scope_id(p_scope text, p_project_id text, p_session_id text, p_user_id text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE p_scope WHEN 'project'::text THEN p_project_id WHEN 'session'::text THEN p_session_id WHEN 'user'::text THEN p_user_id ELSE NULL::text END;

-- Name: scope_keys(jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.scope_keys(p_scope jsonb) RETURNS uuid[]
    LANGUAGE sql STABLE
    RETURN COALESCE((SELECT array_agg(public.place_key(public.current_tenant(), k.k, (scope_keys.p_scope ->> (k.k || '_id'::text)))) AS array_agg FROM unnest(ARRAY['session'::text, 'user'::text, 'agent'::text, 'project'::text]) k(k) WHERE (scope_keys.p_scope ? (k.k || '_id'::text))), ARRAY[public.place_key(public.current_tenant(), 'tenant'::text, ''::text)]);

-- Name: score_expression(jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.score_expression(p_weights jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (SELECT COALESCE(string_agg(format('(mask >> %s & 1) * %s::float8'::text, (t.i - 1), (t.w)::double precision), ' + '::text ORDER BY t.i), '0'::text) AS "coalesce" FROM jsonb_array_elements_text(score_expression.p_weights) WITH ORDINALITY t(w, i));

-- Name: seq_before(text, timestamp with time zone); Type: FUNCTION; Schema: public

CREATE FUNCTION public.seq_before(p_tenant text, p_at timestamp with time zone) RETURNS bigint
    LANGUAGE plpgsql STABLE
    AS $$
declare
  v_low bigint;
  v_high bigint;
  v_middle bigint;
begin
  select c.oldest_seq - 1, c.last_seq into v_low, v_high from tenant_clocks c where c.tenant_id = p_tenant;
  while v_low < v_high loop
    v_middle := (v_low + v_high + 1) / 2;
    if (select e.created_at < p_at from events e where e.tenant_id = p_tenant and e.seq = v_middle) then
      v_low := v_middle;
    else
      v_high := v_middle - 1;
    end if;
  end loop;
  return v_low;
end $$;

-- Name: session_state(text, text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.session_state(p_tenant text, p_session text) RETURNS TABLE(user_id text, username text, role text, subject text, generation integer, expires_at timestamp with time zone)
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_column
begin
  perform enter_tenant(p_tenant);
  -- sampled: a write in five minutes, not one a request
  update sessions s set used_at = now()
  where s.tenant_id = p_tenant and s.session_id = p_session and s.used_at < now() - interval '5 minutes' and s.revoked_at is null;
  return query
  select u.user_id, u.username, u.role, u.subject, u.generation, s.expires_at
  from sessions s
  join users u on u.tenant_id = s.tenant_id and u.user_id = s.user_id
  join tenants t on t.tenant_id = s.tenant_id
  where s.tenant_id = p_tenant and s.session_id = p_session
    and s.revoked_at is null and s.expires_at > now() and u.disabled_at is null and t.state = 'active';
end $$;

-- Name: set_chunk_validity(text, bigint[], bigint[], timestamp with time zone[], tstzrange[]); Type: FUNCTION; Schema: public

CREATE FUNCTION public.set_chunk_validity(p_tenant text, p_seqs bigint[], p_untils bigint[], p_ats timestamp with time zone[], p_valid tstzrange[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
  update chunks c set until_seq = d.until_seq, until_at = d.until_at, valid = d.valid
  from unnest(p_seqs, p_untils, p_ats, p_valid) d (seq, until_seq, until_at, valid)
  where c.tenant_id = p_tenant and c.seq = d.seq;
end $$;

-- Name: set_clock(text, bigint, bigint, bigint, bigint); Type: FUNCTION; Schema: public

CREATE FUNCTION public.set_clock(p_tenant text, p_last_seq bigint, p_oldest_seq bigint, p_event_count bigint, p_stored_bytes bigint) RETURNS void
    LANGUAGE sql
    BEGIN ATOMIC
 UPDATE public.tenant_clocks AS c SET last_seq = set_clock.p_last_seq, oldest_seq = set_clock.p_oldest_seq, event_count = set_clock.p_event_count, stored_bytes = set_clock.p_stored_bytes
   WHERE (c.tenant_id = set_clock.p_tenant);
END;

-- Name: set_passage_ends(text, bigint[], smallint[], bigint[], timestamp with time zone[]); Type: FUNCTION; Schema: public

CREATE FUNCTION public.set_passage_ends(p_tenant text, p_seqs bigint[], p_ordinals smallint[], p_until_seqs bigint[], p_until_ats timestamp with time zone[]) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
declare
  v_count bigint;
begin
  update chunks c set until_seq = x.until_seq, until_at = x.until_at
  from unnest(p_seqs, p_ordinals, p_until_seqs, p_until_ats) x (seq, ordinal, until_seq, until_at)
  where c.tenant_id = p_tenant and c.seq = x.seq and c.ordinal = x.ordinal;
  get diagnostics v_count = row_count;
  return v_count;
end $$;

-- Name: settle_webhook(text, text, bigint, integer, bigint, double precision, jsonb, text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.settle_webhook(p_tenant text, p_webhook_id text, p_lease_id bigint, p_lease_ms integer, p_cursor bigint, p_retry_ms double precision, p_delivery jsonb, p_disable text) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
begin
  perform enter_tenant(p_tenant);
  update webhooks w
  set
    cursor = greatest(w.cursor, p_cursor),
    attempts = case when p_retry_ms is not null then w.attempts + 1 when p_cursor is not null then 0 else w.attempts end,
    retry_at = case
      when p_retry_ms is not null then clock_timestamp() + p_retry_ms * interval '1 millisecond'
      when p_cursor is null then w.retry_at end,
    active = w.active and p_disable is null,
    disabled_reason = coalesce(p_disable, w.disabled_reason),
    lease_until = clock_timestamp() + p_lease_ms * interval '1 millisecond'
  where w.tenant_id = p_tenant and w.webhook_id = p_webhook_id and w.lease_id = p_lease_id;
  if not found then
    return false;
  end if;
  if p_delivery is not null then
    insert into webhook_deliveries as d (
      tenant_id, webhook_id, seq, event_id, kind, state, attempts, status_code, error, duration_ms, attempted_at)
    select p_tenant, p_webhook_id, r.seq, r.event_id, r.kind, r.state, 1, r.status_code, r.error, r.duration_ms, clock_timestamp()
    from jsonb_to_record(p_delivery) as r (
      seq bigint, event_id text, kind text, state text, status_code int, error text, duration_ms int)
    on conflict (tenant_id, webhook_id, seq) do update
    set
      state = excluded.state, attempts = d.attempts + 1, status_code = excluded.status_code, error = excluded.error,
      duration_ms = excluded.duration_ms, attempted_at = excluded.attempted_at;
  end if;
  return true;
end $$;

-- Name: shrink_log(text, bigint, bigint, bigint); Type: FUNCTION; Schema: public

CREATE FUNCTION public.shrink_log(p_tenant text, p_bytes bigint, p_events bigint DEFAULT 0, p_upto bigint DEFAULT 0) RETURNS void
    LANGUAGE sql
    BEGIN ATOMIC
 UPDATE public.tenant_clocks AS c SET oldest_seq = GREATEST(c.oldest_seq, (shrink_log.p_upto + 1)), event_count = (c.event_count - shrink_log.p_events), stored_bytes = GREATEST((0)::bigint, (c.stored_bytes - shrink_log.p_bytes))
   WHERE (c.tenant_id = shrink_log.p_tenant);
END;

-- Name: slowest_reader(text, timestamp with time zone); Type: FUNCTION; Schema: public

CREATE FUNCTION public.slowest_reader(p_tenant text, p_now timestamp with time zone) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    AS $_$
declare
  v_noun text;
  v_floor bigint := seq_before(p_tenant, p_now - interval '7 days');
  v_behind jsonb;
  v_more jsonb;
begin
  for v_noun in select * from hooks('awaits') loop
    execute format('select %I($1, $2)', v_noun || '_awaits') into v_more using p_tenant, v_floor;
    if v_behind is null or (v_more ->> 'seq')::bigint < (v_behind ->> 'seq')::bigint then
      v_behind := v_more;
    end if;
  end loop;
  return v_behind;
end $_$;

-- Name: sortable_time(timestamp with time zone); Type: FUNCTION; Schema: public

CREATE FUNCTION public.sortable_time(p_at timestamp with time zone) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN to_char((p_at AT TIME ZONE 'UTC'::text), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'::text);

-- Name: start_job(text, text, text, jsonb, text, integer, text, text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.start_job(p_tenant text, p_job text, p_kind text, p_input jsonb, p_by text, p_max_open integer, p_key text, p_body text) RETURNS TABLE(status text, job_id text)
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_column
declare
  v_known jsonb;
begin
  perform enter_tenant(p_tenant);
  perform from tenants t where t.tenant_id = p_tenant for no key update;
  if not found then
    raise exception 'no such tenant' using errcode = 'AM404';
  end if;
  v_known := recall_key(p_tenant, p_key, p_body);
  if v_known is not null then
    return query select 'replay', v_known ->> 'job_id';
    return;
  end if;
  if p_max_open <= (select count(*) from jobs j where j.tenant_id = p_tenant and j.finished_at is null) then
    raise exception 'the tenant has as many unfinished jobs as are allowed' using errcode = 'AM409';
  end if;
  insert into jobs (tenant_id, job_id, kind, input, started_by, due_at, created_at, updated_at)
  values (p_tenant, p_job, p_kind, p_input, p_by, clock_timestamp(), clock_timestamp(), clock_timestamp());
  if p_key is not null then
    perform remember_key(p_tenant, p_key, p_body, jsonb_build_object('job_id', p_job));
  end if;
  return query select 'new', p_job;
end $$;

-- Name: stored_outside_log(text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.stored_outside_log(p_tenant text) RETURNS bigint
    LANGUAGE plpgsql STABLE
    AS $_$
declare
  v_noun text;
  v_bytes bigint;
  v_sum bigint := 0;
begin
  for v_noun in select * from hooks('stored') loop
    execute format('select %I($1)', v_noun || '_stored') into v_bytes using p_tenant;
    v_sum := v_sum + v_bytes;
  end loop;
  return v_sum;
end $_$;

-- Name: successor_of(text, text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.successor_of(p_tenant text, p_memory_id text) RETURNS text
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
begin
  return (
  select min(n.memory_id)
  from memory_versions n
  where n.tenant_id = p_tenant and n.memory_id <> p_memory_id and n.status <> 'superseded' and n.seq = (
    select v.seq
    from memory_versions v
    where v.tenant_id = p_tenant and v.memory_id = p_memory_id and v.status = 'superseded'
    order by v.version
    limit 1));
end $$;

-- Name: supersede(text, text, bigint); Type: FUNCTION; Schema: public

CREATE FUNCTION public.supersede(p_tenant text, p_ref text, p_seq bigint) RETURNS text
    LANGUAGE plpgsql
    AS $$
declare
  v_old memories;
  v_new events;
begin
  select * into v_new from events e where e.tenant_id = p_tenant and e.seq = p_seq;
  select * into v_old from memories m where m.tenant_id = p_tenant and m.memory_id = memory_of(p_tenant, p_ref);
  if not found then
    raise exception 'the superseded item is not a memory' using errcode = 'AM409';
  end if;
  -- who may replace a rule is asked where rules are made; a recorded decision has not been asked
  if v_old.kind = 'rule' and (v_new.kind not like 'memory.%' or v_new.content ->> 'kind' <> 'rule') then
    raise exception 'only a rule can supersede a rule' using errcode = 'AM409';
  end if;
  if audience_rank(v_new.channel) < audience_rank(v_old.channel)
    or (v_old.channel = 'private' and v_new.channel = 'private' and v_new.user_id <> v_old.user_id)
    or (v_new.sensitivity in ('high', 'secret') and v_old.sensitivity in ('none', 'low')) then
    raise exception 'the new memory must be visible to everyone who can see the superseded one' using errcode = 'AM409';
  end if;
  perform end_memory(p_tenant, v_old.memory_id, 'superseded', p_seq);
  return v_old.memory_id;
end $$;

-- Name: survey(text, text, jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.survey(p_tenant text, p_query text, p_scope jsonb) RETURNS TABLE(as_of_seq bigint, partial_index boolean, terms text[], keys integer[], scale double precision, sampled integer, seqs json, masks json)
    LANGUAGE plpgsql
    AS $$
begin
  perform enter_tenant(p_tenant);
  select least(k.last_seq, coalesce((p_scope ->> 'as_of_seq')::bigint, k.last_seq)), exists (select from chunk_rebuilds r where r.tenant_id = p_tenant)
  into as_of_seq, partial_index
  from tenant_clocks k
  where k.tenant_id = p_tenant;
  terms := array(
    select l.lexeme
    from tenants t cross join lateral unnest(to_tsvector(t.language, p_query)) l
    where t.tenant_id = p_tenant
    order by l.positions[1], l.lexeme
    limit 31);
  keys := array(select term_key(t) from unnest(terms) with ordinality u (t, i) order by i);
  select s.scale, s.sampled, s.seqs, s.masks
  into scale, sampled, seqs, masks
  from survey_chunks(p_scope || jsonb_build_object('as_of_seq', as_of_seq), keys) s;
  return next;
end $$;

-- Name: survey_chunks(jsonb, integer[]); Type: FUNCTION; Schema: public

CREATE FUNCTION public.survey_chunks(p_scope jsonb, p_terms integer[]) RETURNS TABLE(scale double precision, sampled integer, seqs json, masks json)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    SET jit TO 'off'
    AS $_$
declare
  v_last bigint := (p_scope ->> 'as_of_seq')::bigint;
  v_width bigint := greatest(16, ceil(v_last / 128.0)::bigint);
begin
  return query execute fill_template($q$
    with stretch as materialized (
      select s.seq, s.ordinal, s.mask, g.low, count(*) over (partition by g.low) as taken, max(s.seq) over (partition by g.low) as high
      from generate_series(1, {last}, {width}) g (low)
      cross join lateral (
        select c.seq, c.ordinal, case when {in_scope} then {mask} end as mask
        from chunks c
        where c.tenant_id = (select current_tenant()) and c.seq >= g.low and c.seq < g.low + {width} and c.seq <= {last}
        order by c.seq, c.ordinal
        limit {most}
      ) s
    ),
    -- for a range with more passages than were sampled: the part of it that the sample covers
    covered as (
      select coalesce(sum(span), 0) as span
      from (
        select case when coalesce(max(t.taken), 0) >= 16 and {width} > 16 then max(t.high) - g.low + 1 else {width} end as span
        from generate_series(1, {last}, {width}) g (low) left join stretch t on t.low = g.low
        group by g.low
      ) spans
    )
    select
      greatest(1, {last} / greatest(1, (select span from covered)))::float8,
      count(*)::int,
      coalesce(array_to_json(array_agg(s.seq order by s.seq, s.ordinal) filter (where s.mask is not null)), '[]'),
      coalesce(array_to_json(array_agg(s.mask order by s.seq, s.ordinal) filter (where s.mask is not null)), '[]')
    from stretch s $q$,
    jsonb_build_object(
      'in_scope', chunk_condition(p_scope), 'mask', mask_expression(cardinality(p_terms)),
      'last', v_last || '::bigint', 'width', v_width || '::bigint', 'most', case when v_width <= 16 then 512 else 16 end))
  using p_scope, p_terms;
end $_$;

ALTER FUNCTION public.survey_chunks(p_scope jsonb, p_terms integer[]) OWNER TO agent_memory_searcher;

-- Name: surviving_seq(public.memories, text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.surviving_seq(p_memory public.memories, p_job text) RETURNS bigint
    LANGUAGE plpgsql STABLE
    AS $$
begin
  return (
  select v.seq
  from memory_versions v join events e on e.tenant_id = v.tenant_id and e.seq = v.seq
  where v.tenant_id = p_memory.tenant_id and v.memory_id = p_memory.memory_id and v.status in ('active', 'proposed')
    and (v.content_seq = p_memory.content_seq or p_memory.kind = 'task')
    and (v.seq = p_memory.content_seq or e.kind in ('decision', 'task_update', 'memory.created'))
    and e.erased_at is null and not is_marked(p_memory.tenant_id, p_job, e.event_id)
  order by v.seq = p_memory.content_seq desc, v.seq desc
  limit 1);
end $$;

-- Name: take_job(text, text, integer, integer, integer, jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.take_job(p_tenant text, p_job text, p_per_tenant integer, p_lease_ms integer, p_max_tries integer, p_spent jsonb) RETURNS TABLE(kind text, input jsonb, cursor jsonb, done bigint, total bigint, token integer, tries integer, started_by text)
    LANGUAGE plpgsql
    AS $$
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

-- Name: take_tokens(text[], integer[], integer[], integer[], integer[], integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.take_tokens(p_keys text[], p_maxes integer[], p_owed integer[], p_needs integer[], p_spares integer[], p_window_ms integer) RETURNS TABLE(key text, granted integer, left_over integer, ends_in_ms double precision)
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_column
declare
  v_now timestamptz := clock_timestamp();
  v_window interval := p_window_ms * interval '1 millisecond';
begin
  -- Makes the rows that are missing and locks the others, in one order for all daemons; `where false` locks without writing.
  insert into rate_windows as w (key, used, granted, ends_at)
  select k.key, 0, 0, v_now + v_window
  from unnest(p_keys) as k (key)
  order by k.key
  on conflict (key) do update set used = w.used where false;

  v_now := clock_timestamp();
  return query
  with ask as (
    select a.key, a.max, a.need, a.spare, w.ends_at > v_now as running, a.owed + case when w.ends_at > v_now then w.used else 0 end as used
    from unnest(p_keys, p_maxes, p_owed, p_needs, p_spares) as a (key, max, owed, need, spare)
    join rate_windows w on w.key = a.key
  ),
  served as (
    select a.*, greatest(a.max - a.used, 0) as free, least(a.need, greatest(a.max - a.used, 0)) as due from ask a
  ),
  lent as (
    select s.*, s.due + least(s.spare, ceil((s.free - s.due) / 4.0)) as n from served s
  )
  update rate_windows w
  set
    used = l.used + l.n,
    granted = l.n,
    ends_at = case when l.running then w.ends_at else v_now + v_window end
  from lent l
  where w.key = l.key
  returning w.key, w.granted, greatest(l.max - w.used, 0)::int, (extract(epoch from w.ends_at - v_now) * 1000)::float8;
end $$;

-- Name: tenant_deleting(); Type: FUNCTION; Schema: public

CREATE FUNCTION public.tenant_deleting() RETURNS text
    LANGUAGE sql STABLE
    AS $$ select t.tenant_id from tenants t where t.tenant_id = (select current_tenant()) and t.state = 'deleting' $$;

-- Name: tenant_forgetting(); Type: FUNCTION; Schema: public

CREATE FUNCTION public.tenant_forgetting() RETURNS text
    LANGUAGE sql STABLE
    AS $$
  select j.tenant_id from jobs j
  where j.tenant_id = (select current_tenant()) and j.kind in ('erasure', 'retention') and j.state = 'running'
  limit 1
$$;

-- Name: term_key(text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.term_key(p_lexeme text) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN hashtext(p_lexeme);

-- Name: term_vector(integer[]); Type: FUNCTION; Schema: public

CREATE FUNCTION public.term_vector(p_terms integer[]) RETURNS tsvector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN array_to_tsvector((p_terms)::text[]);

-- Name: time_of(text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.time_of(p_text text) RETURNS timestamp with time zone
    LANGUAGE plpgsql STABLE STRICT
    AS $$
begin
  return p_text::timestamptz;
exception when data_exception then
  return null;
end $$;

-- Name: told_by(public.answer[]); Type: FUNCTION; Schema: public

CREATE FUNCTION public.told_by(p_answers public.answer[]) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE
    AS $$
begin
  return (
    select coalesce(jsonb_object_agg(u.unit, u.told), '{}')
    from (
      select a.unit, jsonb_build_object('made', jsonb_object_agg(a.noun || '/' || a.event - 1, a.doc)) as told from unnest(p_answers) a group by a.unit
    ) u);
end $$;

-- Name: tool_events(bigint[], bigint); Type: FUNCTION; Schema: public

CREATE FUNCTION public.tool_events(p_seqs bigint[], p_last bigint) RETURNS TABLE(seq bigint, kind text, session_id text, call_id text, audience text, tool text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
begin
  return query
  with near as (
    select distinct n.seq
    from unnest(p_seqs) s (seq)
    cross join lateral (
      select g.seq, g.session_id, left(g.content ->> 'call_id', 255) as call_id
      from events g
      where g.tenant_id = (select current_tenant()) and g.seq = s.seq and g.kind in ('tool_call', 'tool_result')
        and g.content ->> 'call_id' is not null
      limit 1
    ) g
    cross join lateral (
      (select e.seq
       from events e
       where e.tenant_id = (select current_tenant()) and e.session_id = g.session_id and left(e.content ->> 'call_id', 255) = g.call_id
         and e.kind in ('tool_call', 'tool_result') and e.content ->> 'call_id' is not null and e.seq <= least(g.seq, p_last)
       order by e.seq desc
       limit 9)
      union all
      (select e.seq
       from events e
       where e.tenant_id = (select current_tenant()) and e.session_id = g.session_id and left(e.content ->> 'call_id', 255) = g.call_id
         and e.kind in ('tool_call', 'tool_result') and e.content ->> 'call_id' is not null and e.seq > g.seq and e.seq <= p_last
       order by e.seq
       limit 8)
    ) n
  )
  select
    e.seq, e.kind, e.session_id, left(e.content ->> 'call_id', 255),
    e.channel || case e.channel when 'private' then '/' || e.user_id else '' end, left(e.content ->> 'tool', 255)
  from near n
  cross join lateral (select x.* from events x where x.tenant_id = (select current_tenant()) and x.seq = n.seq limit 1) e;
end $$;

ALTER FUNCTION public.tool_events(p_seqs bigint[], p_last bigint) OWNER TO agent_memory_searcher;

-- Name: trim_blocker(text, jsonb, timestamp with time zone); Type: FUNCTION; Schema: public

CREATE FUNCTION public.trim_blocker(p_tenant text, p_trim jsonb, p_now timestamp with time zone) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    AS $$
declare
  v_behind jsonb;
begin
  perform enter_tenant(p_tenant);
  v_behind := slowest_reader(p_tenant, p_now);
  return case when (v_behind ->> 'seq')::bigint <= trim_target(p_tenant, p_trim, p_now) then v_behind end;
end $$;

-- Name: trim_bound(text, jsonb, timestamp with time zone); Type: FUNCTION; Schema: public

CREATE FUNCTION public.trim_bound(p_tenant text, p_trim jsonb, p_now timestamp with time zone) RETURNS bigint
    LANGUAGE plpgsql STABLE
    AS $$
begin
  return least(trim_target(p_tenant, p_trim, p_now), (slowest_reader(p_tenant, p_now) ->> 'seq')::bigint - 1);
end $$;

-- Name: trim_step(text, text, bigint, bigint, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.trim_step(p_tenant text, p_job text, p_after bigint, p_upto bigint, p_limit integer) RETURNS TABLE(last_seq bigint, trimmed bigint, carried bigint)
    LANGUAGE plpgsql
    AS $_$
declare
  v_next record;
  v_noun text;
  v_cleared bigint[];
  v_bytes bigint;
begin
  select * into v_next from next_trimmed(p_tenant, p_job, p_after, p_upto, p_limit);
  last_seq := v_next.seqs[cardinality(v_next.seqs)];
  carried := coalesce(cardinality(v_next.kept), 0);
  trimmed := 0;
  if last_seq is not null then
    v_cleared := v_next.dropped || v_next.emptied;
    select coalesce(sum(octet_length(e.content::text) + octet_length(e.metadata::text)), 0) + 400 * coalesce(cardinality(v_next.dropped), 0)
    into v_bytes
    from unnest(v_cleared) s (seq)
    cross join lateral (select x.content, x.metadata from events x where x.tenant_id = p_tenant and x.seq = s.seq offset 0) e;
    v_bytes := v_bytes + (clear_events(p_tenant, v_cleared, false) ->> 'bytes')::bigint;
    for v_noun in select * from hooks('trim') loop
      execute format('select %I($1, $2, $3, $4)', v_noun || '_trim') using p_tenant, p_job, v_next.seqs, v_next.dropped;
    end loop;
    if v_next.emptied is not null then
      perform blank_events(v_next.emptied, '{"erased": true, "retention": true}', null, null);
    end if;
    perform carry_events(v_next.kept);
    trimmed := drop_events(v_next.dropped);
    perform shrink_log(p_tenant, v_bytes, trimmed, last_seq);
  end if;
  return next;
end $_$;

-- Name: trim_target(text, jsonb, timestamp with time zone); Type: FUNCTION; Schema: public

CREATE FUNCTION public.trim_target(p_tenant text, p_trim jsonb, p_now timestamp with time zone) RETURNS bigint
    LANGUAGE plpgsql STABLE
    AS $$
begin
  return case
    when p_trim ? 'keep_events' then (select c.last_seq from tenant_clocks c where c.tenant_id = p_tenant) - (p_trim ->> 'keep_events')::bigint
    when p_trim ? 'keep_days' then seq_before(p_tenant, p_now - interval '1 day' * (p_trim ->> 'keep_days')::float8)
    else 0 end;
end $$;

-- Name: trust_of(text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.trust_of(p_actor_type text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE p_actor_type WHEN 'human'::text THEN 'stated'::text WHEN 'agent'::text THEN 'inferred'::text ELSE 'observed'::text END;

-- Name: undo_import(text, text, integer, jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.undo_import(p_tenant text, p_import text, p_ms integer, p_problem jsonb) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
begin
  perform enter_tenant(p_tenant);
  perform from tenant_clocks c
  where c.tenant_id = p_tenant and c.importing = coalesce(p_import, c.importing)
    and (p_import is not null
      or not exists (select from jobs j where j.tenant_id = p_tenant and j.job_id = c.importing and j.finished_at is null))
  for update;
  if not found then
    return false;
  end if;
  if undo_rows(p_ms) then
    return true;
  end if;
  perform mark_import(p_tenant, null);
  perform fail_job(p_tenant, p_import, p_problem);
  return false;
end $$;

-- Name: undo_rows(integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.undo_rows(p_ms integer) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $_$
declare
  v_end timestamptz := clock_timestamp() + interval '1 millisecond' * p_ms;
  v_tenant text := current_tenant();
  v_part record;
  v_count bigint;
begin
  if not is_importing() then
    return false;
  end if;
  for v_part in select * from portable_parts() p order by p.place desc loop
    loop
      if clock_timestamp() > v_end then
        return true;
      end if;
      execute format('delete from public.%I where ctid = any (array(select ctid from public.%1$I where tenant_id = $1 limit $2))', v_part.relation)
      using v_tenant, case when v_part.has_bytes then 4 else 500 end;
      get diagnostics v_count = row_count;
      exit when v_count = 0;
    end loop;
  end loop;
  return false;
end $_$;

ALTER FUNCTION public.undo_rows(p_ms integer) OWNER TO agent_memory_eraser;

-- Name: unmark_ids(text, text, text, text, text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.unmark_ids(p_tenant text, p_job text, p_what text, p_after text, p_last text) RETURNS void
    LANGUAGE sql
    BEGIN ATOMIC
 DELETE FROM public.erasure_marks AS k
   WHERE ((k.tenant_id = unmark_ids.p_tenant) AND (k.job_id = unmark_ids.p_job) AND (k.what = unmark_ids.p_what) AND (k.id > unmark_ids.p_after) AND (k.id <= unmark_ids.p_last));
END;

-- Name: username_taken(text, text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.username_taken(p_tenant text, p_username text) RETURNS boolean
    LANGUAGE sql STABLE
    AS $$
  select exists (
    select from users u
    where u.tenant_id = p_tenant and (lower(u.username) = lower(p_username) or lower(u.subject) = lower(p_username)))
$$;

-- Name: valid_invite(text, text, bytea, text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.valid_invite(p_tenant text, p_invite text, p_hash bytea, p_username text) RETURNS SETOF public.invites
    LANGUAGE sql
    AS $$
  select i.*
  from invites i
  where i.tenant_id = p_tenant and i.invite_id = p_invite and i.secret_hash = p_hash
    and i.used_at is null and i.expires_at > now()
    and (i.username is null or lower(i.username) = lower(p_username))
    and may_administer(p_tenant, i.created_by, i.role)
$$;

-- Name: valid_reset(text, text, bytea); Type: FUNCTION; Schema: public

CREATE FUNCTION public.valid_reset(p_tenant text, p_reset text, p_hash bytea) RETURNS TABLE(user_id text, username text)
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_column
begin
  perform enter_tenant(p_tenant);
  return query
  select u.user_id, u.username
  from password_resets r
  join users u on u.tenant_id = r.tenant_id and u.user_id = r.user_id
  where r.tenant_id = p_tenant and r.reset_id = p_reset and r.secret_hash = p_hash
    and r.used_at is null and r.expires_at > now() and active_role(p_tenant, u.user_id) is not null
    and (r.created_by = 'operator' or may_administer(p_tenant, r.created_by, u.role));
end $$;

-- Name: validity(jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.validity(p_times jsonb) RETURNS tstzrange
    LANGUAGE sql STABLE
    RETURN CASE WHEN (NOT (p_times ?| ARRAY['valid_from'::text, 'valid_to'::text, 'expires_at'::text])) THEN NULL::tstzrange WHEN (public.time_of((p_times ->> 'valid_from'::text)) > LEAST(public.time_of((p_times ->> 'valid_to'::text)), public.time_of((p_times ->> 'expires_at'::text)))) THEN NULL::tstzrange ELSE tstzrange(public.time_of((p_times ->> 'valid_from'::text)), LEAST(public.time_of((p_times ->> 'valid_to'::text)), public.time_of((p_times ->> 'expires_at'::text)))) END;

-- Name: visible(text, text, text, text[], text[], text[]); Type: FUNCTION; Schema: public

CREATE FUNCTION public.visible(p_channel text, p_user_id text, p_sensitivity text, p_channels text[], p_subjects text[], p_sensitivities text[]) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ((p_channel = ANY (p_channels)) AND ((p_channel <> 'private'::text) OR COALESCE((p_user_id = ANY (p_subjects)), (p_user_id IS NOT NULL))) AND (p_sensitivity = ANY (p_sensitivities)));

-- Name: wall(regclass, text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.wall(p_table regclass, p_rights text) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
  execute format('alter table %s enable row level security', p_table);
  execute format('alter table %s force row level security', p_table);
  execute format(
    'create policy tenant_wall on %s to agent_memory_app using (tenant_id = (select current_tenant())) with check (tenant_id = (select current_tenant()))',
    p_table);
  execute format('grant %s on %s to agent_memory_app', p_rights, p_table);
  perform let_erase(p_table);
  perform let_back_up(p_table);
end $$;

-- Name: webhooks; Type: TABLE; Schema: public

CREATE TABLE public.webhooks (
    tenant_id text NOT NULL,
    webhook_id text NOT NULL,
    url text NOT NULL,
    description text NOT NULL,
    filter jsonb,
    channels text[] NOT NULL,
    sensitivities text[] NOT NULL,
    user_ids text[] NOT NULL,
    active boolean DEFAULT true NOT NULL,
    disabled_reason text,
    secret jsonb NOT NULL,
    old_secret jsonb,
    old_secret_until timestamp with time zone,
    cursor bigint NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    retry_at timestamp with time zone,
    replaying boolean DEFAULT false NOT NULL,
    due_at timestamp with time zone,
    slow boolean DEFAULT false NOT NULL,
    lease_id bigint DEFAULT 0 NOT NULL,
    lease_until timestamp with time zone,
    version integer DEFAULT 1 NOT NULL,
    created_by text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE ONLY public.webhooks FORCE ROW LEVEL SECURITY;

-- Name: webhooks_awaits(text, bigint); Type: FUNCTION; Schema: public

CREATE FUNCTION public.webhooks_awaits(p_tenant text, p_floor bigint) RETURNS jsonb
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT jsonb_build_object('reason', 'webhook', 'seq', (GREATEST(w.cursor, webhooks_awaits.p_floor) + 1), 'webhook_id', w.webhook_id) AS jsonb_build_object
    FROM public.webhooks w
   WHERE ((w.tenant_id = webhooks_awaits.p_tenant) AND w.active)
   ORDER BY w.cursor
  LIMIT 1;
END;

-- Name: webhooks_clear(text, bigint[], boolean); Type: FUNCTION; Schema: public

CREATE FUNCTION public.webhooks_clear(p_tenant text, p_seqs bigint[], p_dry boolean) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
declare
  v_count bigint;
begin
  -- in one look: no index begins with the seq
  if p_dry then
    select count(*) into v_count from webhook_deliveries d where d.tenant_id = p_tenant and d.seq = any (p_seqs);
  else
    delete from webhook_deliveries d where d.tenant_id = p_tenant and d.seq = any (p_seqs);
    get diagnostics v_count = row_count;
  end if;
  return jsonb_build_object('webhook_deliveries', v_count);
end $$;

-- Name: webhooks_forget(text, text, jsonb, text, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.webhooks_forget(p_tenant text, p_job text, p_erasure jsonb, p_after text, p_limit integer) RETURNS TABLE(last text, counts jsonb)
    LANGUAGE plpgsql
    AS $_$
declare
  v_kind text := p_erasure ->> 'kind';
  v_subject text := p_erasure ->> 'subject';
  v_users text[] := array(select jsonb_array_elements_text(p_erasure -> 'users'));
  -- equal to a name is also a kind or a tag
  v_fields text[] := array[v_kind, 'refs'] || case when v_kind in ('user_id', 'agent_id') then array['actor.id'] end;
  v_filtered text[] := array(
    select w.webhook_id
    from webhooks w
    where w.tenant_id = p_tenant and exists (
      select
      from jsonb_path_query(w.filter -> 'given', '$.** ? (@.type() == "object")') o (doc)
      cross join lateral jsonb_each(o.doc) f
      where f.key = any (v_fields) and jsonb_path_exists(f.value, '$.** ? (@ == $s)', jsonb_build_object('s', v_subject))));
  v_named text[] := array(
    select w.webhook_id
    from webhooks w
    where w.tenant_id = p_tenant and not w.webhook_id = any (v_filtered)
      and ((v_kind = 'user_id' and v_subject = any (w.user_ids)) or w.created_by = any (v_users)));
begin
  if not p_erasure ? 'dry_run' then
    delete from webhooks w where w.tenant_id = p_tenant and w.webhook_id = any (v_filtered);
    update webhooks w
    set
      user_ids = case when v_kind = 'user_id' then array_remove(w.user_ids, v_subject) else w.user_ids end,
      created_by = case when w.created_by = any (v_users) then p_erasure ->> 'name' else w.created_by end
    where w.tenant_id = p_tenant and w.webhook_id = any (v_named);
  end if;
  counts := jsonb_build_object('webhooks', cardinality(v_filtered), 'webhooks_named', cardinality(v_named));
  return next;
end $_$;

-- Name: withheld_doc(public.events); Type: FUNCTION; Schema: public

CREATE FUNCTION public.withheld_doc(p_event public.events) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ select (event_doc(p_event) - array['tags', 'refs']) || jsonb_build_object(
  'kinds', case p_event.kind when 'task_update' then '["task_update", "task"]' else jsonb_build_array(p_event.kind) end, 'metadata', '{}'::jsonb) $$;

-- Name: write_edited_passages(text, public.events, jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.write_edited_passages(p_tenant text, p_event public.events, p_base jsonb) RETURNS void
    LANGUAGE sql
    AS $$
  select rewrite_passages(p_tenant, p_event, coalesce(jsonb_agg(to_jsonb(x) order by x.ordinal), '[]'))
  from edited_passages(p_tenant, p_event.seq, p_base) x
$$;

-- Name: write_memory_effects(text, public.memory_effect[], timestamp with time zone); Type: FUNCTION; Schema: public

CREATE FUNCTION public.write_memory_effects(p_tenant text, p_resolved public.memory_effect[], p_at timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
  insert into memories (
    tenant_id, memory_id, kind, scope, scope_id, status, version, content_seq, last_seq, user_id, agent_id, session_id, project_id, channel,
    sensitivity, text_hash, importance, pinned, repeats, tags, valid_from, valid_to, expires_at, task_status, created_at, updated_at)
  select
    p_tenant, w.target_id, w.kind, w.scope, w.scope_id, w.status, w.version_count, case when w.kind = 'task' then w.seq else w.first_seq end, w.seq, w.user_id,
    w.agent_id, w.session_id, w.project_id, w.channel, w.sensitivity, w.text_hash, w.importance, w.pinned,
    case when w.kind = 'task' then 0 else w.total - 1 end, w.tags, w.valid_from, w.valid_to, w.expires_at, w.task_status, p_at, p_at
  from unnest(p_resolved) w
  where w.current_version is null and w.nth = w.version_count
  order by w.seq;

  update memories m
  set
    version = w.current_version + w.version_count,
    last_seq = case when w.version_count = 0 then m.last_seq else w.seq end,
    updated_at = case when w.version_count = 0 then m.updated_at else p_at end,
    repeats = case when w.kind = 'task' then 0 else m.repeats + w.total end,
    content_seq = case when w.kind = 'task' then w.seq else m.content_seq end,
    task_status = w.task_status,
    user_id = case when w.kind = 'task' then w.user_id else m.user_id end,
    agent_id = case when w.kind = 'task' then w.agent_id else m.agent_id end,
    sensitivity = w.sensitivity,
    tags = case when w.kind = 'task' then w.tags else m.tags end,
    -- a pinned memory stays pinned
    pinned = m.pinned or (w.kind = 'task' and w.pinned),
    valid_from = case when w.kind = 'task' then w.valid_from else m.valid_from end,
    valid_to = case when w.kind = 'task' then w.valid_to else m.valid_to end,
    expires_at = case when w.kind = 'task' then w.expires_at else m.expires_at end
  from unnest(p_resolved) w
  -- By its place, which the locked clock keeps: joined by its key, all of the tenant's were read for each batch, mostly for none.
  where w.current_version is not null and w.nth = greatest(w.version_count, 1) and m.tenant_id = p_tenant and m.ctid = w.current_ctid;

  insert into memory_versions (tenant_id, memory_id, version, seq, content_seq, status)
  select
    p_tenant, w.target_id, coalesce(w.current_version, 0) + w.nth, w.seq,
    case when w.kind = 'task' then w.seq else coalesce(w.current_content_seq, w.first_seq) end, w.status
  from unnest(p_resolved) w
  where w.nth <= w.version_count;
end $$;

-- Name: write_units(text, text[], jsonb, public.verdict[], timestamp with time zone, timestamp with time zone); Type: FUNCTION; Schema: public

CREATE FUNCTION public.write_units(p_tenant text, p_nouns text[], p_units jsonb, p_verdicts public.verdict[], p_asked timestamp with time zone, p_at timestamp with time zone) RETURNS public.effect[]
    LANGUAGE plpgsql
    AS $$
declare
  v_effects effect[];
  v_strange text;
begin
  with event as materialized (
    select v.unit, e.ord as place, v.seq + e.ord - 1 as seq, e.doc -> 'effects' as effects, r.*
    from unnest(p_verdicts) v
    cross join lateral jsonb_array_elements(p_units -> (v.unit - 1) -> 'events') with ordinality e (doc, ord)
    cross join lateral jsonb_to_record(e.doc) r (
      event_id text, session_id text, channel text, actor_type text, actor_id text, kind text, content jsonb,
      user_id text, agent_id text, project_id text, sensitivity text, tags text[], refs text[], metadata jsonb,
      artifact_id text, redactions int, chunk_count smallint, occurred_at timestamptz)
    where v.status = 'new'
  ),
  written as (
    insert into events (
      tenant_id, seq, event_id, session_id, channel, actor_type, actor_id, kind, content, user_id, agent_id, project_id,
      sensitivity, tags, refs, metadata, artifact_id, redactions, chunk_count, byte_count, occurred_at, created_at)
    select
      p_tenant, e.seq, e.event_id, e.session_id, e.channel, e.actor_type, e.actor_id, e.kind, e.content, e.user_id, e.agent_id,
      e.project_id, e.sensitivity, e.tags, e.refs, e.metadata, e.artifact_id, e.redactions, coalesce(e.chunk_count, 0),
      pg_column_size(e.content) + pg_column_size(e.metadata), coalesce(e.occurred_at, p_asked), p_at
    from event e
  ),
  ticked as (
    update tenant_clocks c
    set last_seq = c.last_seq + s.count, event_count = c.event_count + s.count, stored_bytes = c.stored_bytes + s.bytes
    from (select sum(v.count) as count, sum(v.bytes) as bytes from unnest(p_verdicts) v where v.status = 'new') s
    where c.tenant_id = p_tenant and s.count > 0
  ),
  remembered as (
    insert into idempotency_keys (tenant_id, key_hash, body_hash, outcome, created_at)
    select p_tenant, v.key_hash, v.body_hash, jsonb_build_object('seq', v.seq, 'count', v.count), p_at
    from unnest(p_verdicts) v
    where v.status = 'new' and v.key_hash is not null
  )
  select array_agg(row(
    n.noun, e.unit, e.place, e.seq, e.event_id, e.kind, e.actor_type, e.actor_id, e.session_id, e.channel, e.sensitivity, e.user_id,
    e.agent_id, e.project_id, e.tags, coalesce(e.occurred_at, p_asked), n.doc)::effect order by e.seq),
    min(n.noun) filter (where n.noun <> all (p_nouns))
  into v_effects, v_strange
  from event e cross join lateral jsonb_each(e.effects) n (noun, doc);
  if v_strange is not null then
    raise exception 'there is no noun for the effect %', v_strange;
  end if;
  return v_effects;
end $$;

-- Name: sample_of(jsonb); Type: AGGREGATE; Schema: public

CREATE AGGREGATE public.sample_of(jsonb) (
    SFUNC = public.keep_five,
    STYPE = jsonb,
    INITCOND = '[]'
);

-- Name: sum_fitting(bigint, bigint); Type: AGGREGATE; Schema: public

CREATE AGGREGATE public.sum_fitting(bigint, bigint) (
    SFUNC = public.add_fitting,
    STYPE = bigint,
    INITCOND = '0'
);

-- Name: audit_clocks; Type: TABLE; Schema: public

CREATE TABLE public.audit_clocks (
    tenant_id text NOT NULL,
    last_seq bigint DEFAULT 0 NOT NULL,
    last_mac bytea DEFAULT '\x'::bytea NOT NULL,
    last_at timestamp(3) with time zone
)
WITH (fillfactor='50');

ALTER TABLE ONLY public.audit_clocks FORCE ROW LEVEL SECURITY;

-- Name: audit_entries; Type: TABLE; Schema: public

CREATE TABLE public.audit_entries (
    tenant_id text NOT NULL,
    seq bigint NOT NULL,
    at timestamp(3) with time zone NOT NULL,
    first_at timestamp(3) with time zone NOT NULL,
    action text NOT NULL,
    route text NOT NULL,
    status smallint NOT NULL,
    count integer NOT NULL,
    payload jsonb,
    salt bytea,
    principal_id text GENERATED ALWAYS AS ((payload ->> 'principal_id'::text)) STORED,
    commitment bytea NOT NULL,
    key_id text NOT NULL,
    mac bytea NOT NULL
);

ALTER TABLE ONLY public.audit_entries FORCE ROW LEVEL SECURITY;

-- Name: capsules; Type: TABLE; Schema: public

CREATE TABLE public.capsules (
    tenant_id text NOT NULL,
    capsule_id text NOT NULL,
    seq bigint NOT NULL,
    user_id text,
    agent_id text,
    project_id text,
    channel text NOT NULL,
    tags text[] NOT NULL,
    for_all boolean NOT NULL,
    audience_users text[] NOT NULL,
    audience_agents text[] NOT NULL,
    items text[] NOT NULL,
    item_channels text[] NOT NULL,
    item_sensitivities text[] NOT NULL,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    revoked_at timestamp with time zone,
    revoked_seq bigint,
    CONSTRAINT capsules__all CHECK (((NOT for_all) OR (channel <> 'private'::text))),
    CONSTRAINT capsules__channel CHECK ((channel = ANY (ARRAY['private'::text, 'public'::text, 'team'::text, 'agent'::text]))),
    CONSTRAINT capsules__items CHECK (((cardinality(items) >= 1) AND (cardinality(items) <= 200)))
);

ALTER TABLE ONLY public.capsules FORCE ROW LEVEL SECURITY;

-- Name: login_failures; Type: TABLE; Schema: public

CREATE TABLE public.login_failures (
    key_hash bytea NOT NULL,
    failures integer NOT NULL,
    blocked_until timestamp with time zone,
    expires_at timestamp with time zone NOT NULL
)
WITH (fillfactor='70');

-- Name: password_resets; Type: TABLE; Schema: public

CREATE TABLE public.password_resets (
    tenant_id text NOT NULL,
    reset_id text NOT NULL,
    user_id text NOT NULL,
    secret_hash bytea NOT NULL,
    created_by text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    used_at timestamp with time zone
);

ALTER TABLE ONLY public.password_resets FORCE ROW LEVEL SECURITY;

-- Name: rate_windows; Type: TABLE; Schema: public

CREATE UNLOGGED TABLE public.rate_windows (
    key text NOT NULL,
    used bigint NOT NULL,
    granted integer NOT NULL,
    ends_at timestamp with time zone NOT NULL
)
WITH (fillfactor='50');

-- Name: refresh_tokens; Type: TABLE; Schema: public

CREATE TABLE public.refresh_tokens (
    tenant_id text NOT NULL,
    token_id text NOT NULL,
    session_id text NOT NULL,
    secret_hash bytea NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    rotated_at timestamp with time zone,
    replaced_by text,
    nonce bytea
);

ALTER TABLE ONLY public.refresh_tokens FORCE ROW LEVEL SECURITY;

-- Name: retention_policies; Type: TABLE; Schema: public

CREATE TABLE public.retention_policies (
    tenant_id text NOT NULL,
    rules jsonb NOT NULL,
    "trim" jsonb,
    version integer DEFAULT 1 NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    last_run_at timestamp with time zone
);

ALTER TABLE ONLY public.retention_policies FORCE ROW LEVEL SECURITY;

-- Name: schema_functions; Type: TABLE; Schema: public

CREATE TABLE public.schema_functions (
    folder text NOT NULL,
    hash text NOT NULL,
    names text[] NOT NULL,
    release text NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);

-- Name: schema_gone; Type: TABLE; Schema: public

CREATE TABLE public.schema_gone (
    name text NOT NULL,
    release text NOT NULL
);

-- Name: schema_migrations; Type: TABLE; Schema: public

CREATE TABLE public.schema_migrations (
    version integer NOT NULL,
    name text NOT NULL,
    hash text NOT NULL,
    min_code integer NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);

-- Name: sweep_walks; Type: TABLE; Schema: public

CREATE TABLE public.sweep_walks (
    only_row boolean DEFAULT true NOT NULL,
    token bigint DEFAULT 0 NOT NULL,
    held_until timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    begun_at timestamp with time zone,
    after text DEFAULT ''::text NOT NULL,
    failed integer DEFAULT 0 NOT NULL,
    due_at timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    succeeded_at timestamp with time zone DEFAULT now() NOT NULL,
    last_failed integer DEFAULT 0 NOT NULL,
    CONSTRAINT sweep_walks__only_row CHECK (only_row)
)
WITH (fillfactor='50');

-- Name: webhook_deliveries; Type: TABLE; Schema: public

CREATE TABLE public.webhook_deliveries (
    tenant_id text NOT NULL,
    webhook_id text NOT NULL,
    seq bigint NOT NULL,
    event_id text NOT NULL,
    kind text NOT NULL,
    state text NOT NULL,
    attempts integer NOT NULL,
    status_code integer,
    error text,
    duration_ms integer,
    attempted_at timestamp with time zone NOT NULL,
    CONSTRAINT webhook_deliveries__state CHECK ((state = ANY (ARRAY['delivered'::text, 'retrying'::text, 'dead'::text, 'replaying'::text])))
);

ALTER TABLE ONLY public.webhook_deliveries FORCE ROW LEVEL SECURITY;

-- Name: api_keys api_keys_pkey; Type: CONSTRAINT; Schema: public

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_pkey PRIMARY KEY (tenant_id, key_id);

-- Name: artifacts artifacts_pkey; Type: CONSTRAINT; Schema: public

ALTER TABLE ONLY public.artifacts
    ADD CONSTRAINT artifacts_pkey PRIMARY KEY (tenant_id, artifact_id);

-- Name: audit_clocks audit_clocks_pkey; Type: CONSTRAINT; Schema: public

ALTER TABLE ONLY public.audit_clocks
    ADD CONSTRAINT audit_clocks_pkey PRIMARY KEY (tenant_id);

-- Name: audit_entries audit_entries_pkey; Type: CONSTRAINT; Schema: public

ALTER TABLE ONLY public.audit_entries
    ADD CONSTRAINT audit_entries_pkey PRIMARY KEY (tenant_id, seq);

-- Name: capsules capsules_pkey; Type: CONSTRAINT; Schema: public

ALTER TABLE ONLY public.capsules
    ADD CONSTRAINT capsules_pkey PRIMARY KEY (tenant_id, capsule_id);

-- Name: chunk_rebuilds chunk_rebuilds_pkey; Type: CONSTRAINT; Schema: public

ALTER TABLE ONLY public.chunk_rebuilds
    ADD CONSTRAINT chunk_rebuilds_pkey PRIMARY KEY (tenant_id);

-- Name: chunks chunks_pkey; Type: CONSTRAINT; Schema: public

ALTER TABLE ONLY public.chunks
    ADD CONSTRAINT chunks_pkey PRIMARY KEY (tenant_id, seq, ordinal) WITH (fillfactor='100');

-- Name: edit_events edit_events_pkey; Type: CONSTRAINT; Schema: public

ALTER TABLE ONLY public.edit_events
    ADD CONSTRAINT edit_events_pkey PRIMARY KEY (tenant_id, seq, edit_id);

-- Name: edits edits_pkey; Type: CONSTRAINT; Schema: public

ALTER TABLE ONLY public.edits
    ADD CONSTRAINT edits_pkey PRIMARY KEY (tenant_id, edit_id);

-- Name: erasure_marks erasure_marks_pkey; Type: CONSTRAINT; Schema: public

ALTER TABLE ONLY public.erasure_marks
    ADD CONSTRAINT erasure_marks_pkey PRIMARY KEY (tenant_id, job_id, what, id);

-- Name: events events_pkey; Type: CONSTRAINT; Schema: public

ALTER TABLE ONLY public.events
    ADD CONSTRAINT events_pkey PRIMARY KEY (tenant_id, seq) WITH (fillfactor='100');

-- Name: idempotency_keys idempotency_keys_pkey; Type: CONSTRAINT; Schema: public

ALTER TABLE ONLY public.idempotency_keys
    ADD CONSTRAINT idempotency_keys_pkey PRIMARY KEY (tenant_id, key_hash);

-- Name: installation installation_pkey; Type: CONSTRAINT; Schema: public

ALTER TABLE ONLY public.installation
    ADD CONSTRAINT installation_pkey PRIMARY KEY (only_row);

-- Name: invites invites_pkey; Type: CONSTRAINT; Schema: public

ALTER TABLE ONLY public.invites
    ADD CONSTRAINT invites_pkey PRIMARY KEY (tenant_id, invite_id);

-- Name: jobs jobs_pkey; Type: CONSTRAINT; Schema: public

ALTER TABLE ONLY public.jobs
    ADD CONSTRAINT jobs_pkey PRIMARY KEY (tenant_id, job_id);

-- Name: login_failures login_failures_pkey; Type: CONSTRAINT; Schema: public

ALTER TABLE ONLY public.login_failures
    ADD CONSTRAINT login_failures_pkey PRIMARY KEY (key_hash);

-- Name: memories memories_pkey; Type: CONSTRAINT; Schema: public

ALTER TABLE ONLY public.memories
    ADD CONSTRAINT memories_pkey PRIMARY KEY (tenant_id, memory_id);

-- Name: memory_versions memory_versions_pkey; Type: CONSTRAINT; Schema: public

ALTER TABLE ONLY public.memory_versions
    ADD CONSTRAINT memory_versions_pkey PRIMARY KEY (tenant_id, memory_id, version);

-- Name: nouns nouns__id_prefix; Type: CONSTRAINT; Schema: public

ALTER TABLE ONLY public.nouns
    ADD CONSTRAINT nouns__id_prefix UNIQUE (id_prefix);

-- Name: nouns nouns__place; Type: CONSTRAINT; Schema: public

ALTER TABLE ONLY public.nouns
    ADD CONSTRAINT nouns__place UNIQUE (place);

-- Name: nouns nouns_pkey; Type: CONSTRAINT; Schema: public

ALTER TABLE ONLY public.nouns
    ADD CONSTRAINT nouns_pkey PRIMARY KEY (noun);

-- Name: overlays overlays_pkey; Type: CONSTRAINT; Schema: public

ALTER TABLE ONLY public.overlays
    ADD CONSTRAINT overlays_pkey PRIMARY KEY (tenant_id, seq);

-- Name: password_resets password_resets_pkey; Type: CONSTRAINT; Schema: public

ALTER TABLE ONLY public.password_resets
    ADD CONSTRAINT password_resets_pkey PRIMARY KEY (tenant_id, reset_id);

-- Name: portable_tables portable_tables__place; Type: CONSTRAINT; Schema: public

ALTER TABLE ONLY public.portable_tables
    ADD CONSTRAINT portable_tables__place UNIQUE (place);

-- Name: portable_tables portable_tables__relation; Type: CONSTRAINT; Schema: public

ALTER TABLE ONLY public.portable_tables
    ADD CONSTRAINT portable_tables__relation UNIQUE (relation);

-- Name: portable_tables portable_tables_pkey; Type: CONSTRAINT; Schema: public

ALTER TABLE ONLY public.portable_tables
    ADD CONSTRAINT portable_tables_pkey PRIMARY KEY (part);

-- Name: rate_windows rate_windows_pkey; Type: CONSTRAINT; Schema: public

ALTER TABLE ONLY public.rate_windows
    ADD CONSTRAINT rate_windows_pkey PRIMARY KEY (key);

-- Name: refresh_tokens refresh_tokens_pkey; Type: CONSTRAINT; Schema: public

ALTER TABLE ONLY public.refresh_tokens
    ADD CONSTRAINT refresh_tokens_pkey PRIMARY KEY (tenant_id, token_id);

-- Name: retention_policies retention_policies_pkey; Type: CONSTRAINT; Schema: public

ALTER TABLE ONLY public.retention_policies
    ADD CONSTRAINT retention_policies_pkey PRIMARY KEY (tenant_id);

-- Name: schema_functions schema_functions_pkey; Type: CONSTRAINT; Schema: public

ALTER TABLE ONLY public.schema_functions
    ADD CONSTRAINT schema_functions_pkey PRIMARY KEY (folder);

-- Name: schema_gone schema_gone_pkey; Type: CONSTRAINT; Schema: public

ALTER TABLE ONLY public.schema_gone
    ADD CONSTRAINT schema_gone_pkey PRIMARY KEY (name);

-- Name: schema_migrations schema_migrations_pkey; Type: CONSTRAINT; Schema: public

ALTER TABLE ONLY public.schema_migrations
    ADD CONSTRAINT schema_migrations_pkey PRIMARY KEY (version);

-- Name: sessions sessions_pkey; Type: CONSTRAINT; Schema: public

ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_pkey PRIMARY KEY (tenant_id, session_id);

-- Name: sweep_walks sweep_walks_pkey; Type: CONSTRAINT; Schema: public

ALTER TABLE ONLY public.sweep_walks
    ADD CONSTRAINT sweep_walks_pkey PRIMARY KEY (only_row);

-- Name: tenant_clocks tenant_clocks_pkey; Type: CONSTRAINT; Schema: public

ALTER TABLE ONLY public.tenant_clocks
    ADD CONSTRAINT tenant_clocks_pkey PRIMARY KEY (tenant_id);

-- Name: tenants tenants_pkey; Type: CONSTRAINT; Schema: public

ALTER TABLE ONLY public.tenants
    ADD CONSTRAINT tenants_pkey PRIMARY KEY (tenant_id);

-- Name: users users__subject; Type: CONSTRAINT; Schema: public

ALTER TABLE ONLY public.users
    ADD CONSTRAINT users__subject UNIQUE (tenant_id, subject);

-- Name: users users_pkey; Type: CONSTRAINT; Schema: public

ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_pkey PRIMARY KEY (tenant_id, user_id);

-- Name: webhook_deliveries webhook_deliveries_pkey; Type: CONSTRAINT; Schema: public

ALTER TABLE ONLY public.webhook_deliveries
    ADD CONSTRAINT webhook_deliveries_pkey PRIMARY KEY (tenant_id, webhook_id, seq);

-- Name: webhooks webhooks_pkey; Type: CONSTRAINT; Schema: public

ALTER TABLE ONLY public.webhooks
    ADD CONSTRAINT webhooks_pkey PRIMARY KEY (tenant_id, webhook_id);

-- Name: api_keys__parent; Type: INDEX; Schema: public

CREATE INDEX api_keys__parent ON public.api_keys USING btree (tenant_id, created_with) WHERE (created_with IS NOT NULL);

-- Name: artifacts__unlinked; Type: INDEX; Schema: public

CREATE INDEX artifacts__unlinked ON public.artifacts USING btree (tenant_id, created_at) WHERE (event_id IS NULL);

-- Name: audit_entries__action; Type: INDEX; Schema: public

CREATE INDEX audit_entries__action ON public.audit_entries USING btree (tenant_id, action, seq);

-- Name: audit_entries__at; Type: INDEX; Schema: public

CREATE INDEX audit_entries__at ON public.audit_entries USING btree (tenant_id, at);

-- Name: audit_entries__principal; Type: INDEX; Schema: public

CREATE INDEX audit_entries__principal ON public.audit_entries USING btree (tenant_id, principal_id, seq);

-- Name: capsules__expires; Type: INDEX; Schema: public

CREATE INDEX capsules__expires ON public.capsules USING btree (tenant_id, expires_at);

-- Name: capsules__seq; Type: INDEX; Schema: public

CREATE INDEX capsules__seq ON public.capsules USING btree (tenant_id, seq);

-- Name: chunks__search; Type: INDEX; Schema: public

CREATE INDEX chunks__search ON public.chunks USING gin (public.chunk_places(tenant_id, seq, session_id, channel, user_id, agent_id, project_id), public.term_vector(terms)) WITH (gin_pending_list_limit='256');

-- Name: edit_events__edit; Type: INDEX; Schema: public

CREATE INDEX edit_events__edit ON public.edit_events USING btree (tenant_id, edit_id);

-- Name: edits__proposed; Type: INDEX; Schema: public

CREATE UNIQUE INDEX edits__proposed ON public.edits USING btree (tenant_id, proposed_seq);

-- Name: edits__seq; Type: INDEX; Schema: public

CREATE INDEX edits__seq ON public.edits USING btree (tenant_id, seq);

-- Name: erasure_marks__id; Type: INDEX; Schema: public

CREATE INDEX erasure_marks__id ON public.erasure_marks USING btree (tenant_id, job_id, id);

-- Name: events__call; Type: INDEX; Schema: public

CREATE INDEX events__call ON public.events USING btree (tenant_id, session_id, "left"((content ->> 'call_id'::text), 255), seq) WHERE ((kind = ANY (ARRAY['tool_call'::text, 'tool_result'::text])) AND ((content ->> 'call_id'::text) IS NOT NULL));

-- Name: events__event_id; Type: INDEX; Schema: public

CREATE UNIQUE INDEX events__event_id ON public.events USING btree (tenant_id, event_id);

-- Name: events__forgotten; Type: INDEX; Schema: public

CREATE INDEX events__forgotten ON public.events USING btree (tenant_id) WHERE (kind = ANY (ARRAY['erasure.completed'::text, 'retention.forgot'::text]));

-- Name: events__ledger; Type: INDEX; Schema: public

CREATE INDEX events__ledger ON public.events USING btree (tenant_id, kind, seq) WHERE (kind = ANY (ARRAY['decision'::text, 'task_update'::text]));

-- Name: events__project; Type: INDEX; Schema: public

CREATE INDEX events__project ON public.events USING btree (tenant_id, project_id, seq) WHERE (project_id IS NOT NULL);

-- Name: events__session; Type: INDEX; Schema: public

CREATE INDEX events__session ON public.events USING btree (session_key, seq);

-- Name: events__supersedes; Type: INDEX; Schema: public

CREATE INDEX events__supersedes ON public.events USING btree (tenant_id, supersedes) WHERE (supersedes IS NOT NULL);

-- Name: idempotency_keys__created_at; Type: INDEX; Schema: public

CREATE INDEX idempotency_keys__created_at ON public.idempotency_keys USING brin (created_at);

-- Name: jobs__due; Type: INDEX; Schema: public

CREATE INDEX jobs__due ON public.jobs USING btree (due_at) WHERE (state = ANY (ARRAY['queued'::text, 'running'::text]));

-- Name: jobs__finished; Type: INDEX; Schema: public

CREATE INDEX jobs__finished ON public.jobs USING btree (tenant_id, finished_at) WHERE (finished_at IS NOT NULL);

-- Name: login_failures__expires_at; Type: INDEX; Schema: public

CREATE INDEX login_failures__expires_at ON public.login_failures USING btree (expires_at);

-- Name: memories__expires; Type: INDEX; Schema: public

CREATE INDEX memories__expires ON public.memories USING btree (tenant_id, expires_at) WHERE ((status = 'active'::text) AND (expires_at IS NOT NULL));

-- Name: memories__kind; Type: INDEX; Schema: public

CREATE INDEX memories__kind ON public.memories USING btree (kind, status, tenant_id, content_seq);

-- Name: memories__one_doing; Type: INDEX; Schema: public

CREATE UNIQUE INDEX memories__one_doing ON public.memories USING btree (tenant_id, doing_agent, (
CASE
    WHEN (channel = 'private'::text) THEN user_id
    ELSE ''::text
END)) WHERE (doing_agent IS NOT NULL);

-- Name: memories__open_tasks; Type: INDEX; Schema: public

CREATE INDEX memories__open_tasks ON public.memories USING btree (tenant_id, content_seq) WHERE ((status = 'active'::text) AND (kind = 'task'::text) AND (task_status <> 'done'::text));

-- Name: memories__same; Type: INDEX; Schema: public

CREATE UNIQUE INDEX memories__same ON public.memories USING btree (tenant_id, text_hash, kind, scope, scope_id, public.same_subject(kind, channel, user_id), channel, (
CASE
    WHEN (kind = 'task'::text) THEN ''::text
    ELSE sensitivity
END)) NULLS NOT DISTINCT WHERE (status = 'active'::text);

-- Name: memories__superseded; Type: INDEX; Schema: public

CREATE INDEX memories__superseded ON public.memories USING btree (tenant_id, kind, content_seq) WHERE (status = 'superseded'::text);

-- Name: memories__superseded_by; Type: INDEX; Schema: public

CREATE INDEX memories__superseded_by ON public.memories USING btree (tenant_id, superseded_by) WHERE (superseded_by IS NOT NULL);

-- Name: memories__worn; Type: INDEX; Schema: public

CREATE INDEX memories__worn ON public.memories USING btree (tenant_id) WHERE worn;

-- Name: memory_versions__seq; Type: INDEX; Schema: public

CREATE INDEX memory_versions__seq ON public.memory_versions USING btree (tenant_id, seq);

-- Name: password_resets__user; Type: INDEX; Schema: public

CREATE INDEX password_resets__user ON public.password_resets USING btree (tenant_id, user_id);

-- Name: rate_windows__ends_at; Type: INDEX; Schema: public

CREATE INDEX rate_windows__ends_at ON public.rate_windows USING btree (ends_at);

-- Name: refresh_tokens__session; Type: INDEX; Schema: public

CREATE INDEX refresh_tokens__session ON public.refresh_tokens USING btree (tenant_id, session_id, rotated_at);

-- Name: sessions__user; Type: INDEX; Schema: public

CREATE INDEX sessions__user ON public.sessions USING btree (tenant_id, user_id, used_at);

-- Name: tenants__lower_tenant_id; Type: INDEX; Schema: public

CREATE UNIQUE INDEX tenants__lower_tenant_id ON public.tenants USING btree (lower(tenant_id));

-- Name: users__lower_username; Type: INDEX; Schema: public

CREATE UNIQUE INDEX users__lower_username ON public.users USING btree (tenant_id, lower(username));

-- Name: webhook_deliveries__attempted; Type: INDEX; Schema: public

CREATE INDEX webhook_deliveries__attempted ON public.webhook_deliveries USING btree (tenant_id, attempted_at);

-- Name: webhook_deliveries__open; Type: INDEX; Schema: public

CREATE INDEX webhook_deliveries__open ON public.webhook_deliveries USING btree (tenant_id, webhook_id, state, seq) WHERE (state <> 'delivered'::text);

-- Name: webhooks__due; Type: INDEX; Schema: public

CREATE INDEX webhooks__due ON public.webhooks USING btree (slow, due_at) WHERE (active AND (due_at IS NOT NULL));

-- Name: tenant_clocks importing; Type: TRIGGER; Schema: public

CREATE TRIGGER importing BEFORE UPDATE OF last_seq ON public.tenant_clocks FOR EACH ROW WHEN (((old.importing IS NOT NULL) AND (new.importing IS NOT NULL) AND (old.last_seq <> new.last_seq))) EXECUTE FUNCTION public.refuse_while_importing();

-- Name: api_keys api_keys__creator; Type: FK CONSTRAINT; Schema: public

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys__creator FOREIGN KEY (tenant_id, created_by) REFERENCES public.users(tenant_id, user_id) ON DELETE CASCADE;

-- Name: api_keys api_keys__parent; Type: FK CONSTRAINT; Schema: public

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys__parent FOREIGN KEY (tenant_id, created_with) REFERENCES public.api_keys(tenant_id, key_id) ON DELETE CASCADE;

-- Name: artifacts artifacts__tenant; Type: FK CONSTRAINT; Schema: public

ALTER TABLE ONLY public.artifacts
    ADD CONSTRAINT artifacts__tenant FOREIGN KEY (tenant_id) REFERENCES public.tenants(tenant_id) ON DELETE CASCADE;

-- Name: audit_clocks audit_clocks__tenant; Type: FK CONSTRAINT; Schema: public

ALTER TABLE ONLY public.audit_clocks
    ADD CONSTRAINT audit_clocks__tenant FOREIGN KEY (tenant_id) REFERENCES public.tenants(tenant_id) ON DELETE CASCADE;

-- Name: audit_entries audit_entries__tenant; Type: FK CONSTRAINT; Schema: public

ALTER TABLE ONLY public.audit_entries
    ADD CONSTRAINT audit_entries__tenant FOREIGN KEY (tenant_id) REFERENCES public.tenants(tenant_id) ON DELETE CASCADE;

-- Name: capsules capsules__tenant; Type: FK CONSTRAINT; Schema: public

ALTER TABLE ONLY public.capsules
    ADD CONSTRAINT capsules__tenant FOREIGN KEY (tenant_id) REFERENCES public.tenants(tenant_id) ON DELETE CASCADE;

-- Name: chunk_rebuilds chunk_rebuilds__tenant; Type: FK CONSTRAINT; Schema: public

ALTER TABLE ONLY public.chunk_rebuilds
    ADD CONSTRAINT chunk_rebuilds__tenant FOREIGN KEY (tenant_id) REFERENCES public.tenants(tenant_id) ON DELETE CASCADE;

-- Name: chunks chunks__tenant; Type: FK CONSTRAINT; Schema: public

ALTER TABLE ONLY public.chunks
    ADD CONSTRAINT chunks__tenant FOREIGN KEY (tenant_id) REFERENCES public.tenants(tenant_id) ON DELETE CASCADE;

-- Name: edit_events edit_events__edit; Type: FK CONSTRAINT; Schema: public

ALTER TABLE ONLY public.edit_events
    ADD CONSTRAINT edit_events__edit FOREIGN KEY (tenant_id, edit_id) REFERENCES public.edits(tenant_id, edit_id) ON DELETE CASCADE;

-- Name: edits edits__tenant; Type: FK CONSTRAINT; Schema: public

ALTER TABLE ONLY public.edits
    ADD CONSTRAINT edits__tenant FOREIGN KEY (tenant_id) REFERENCES public.tenants(tenant_id) ON DELETE CASCADE;

-- Name: erasure_marks erasure_marks__tenant; Type: FK CONSTRAINT; Schema: public

ALTER TABLE ONLY public.erasure_marks
    ADD CONSTRAINT erasure_marks__tenant FOREIGN KEY (tenant_id) REFERENCES public.tenants(tenant_id) ON DELETE CASCADE;

-- Name: events events__tenant; Type: FK CONSTRAINT; Schema: public

ALTER TABLE ONLY public.events
    ADD CONSTRAINT events__tenant FOREIGN KEY (tenant_id) REFERENCES public.tenants(tenant_id) ON DELETE CASCADE;

-- Name: idempotency_keys idempotency_keys__tenant; Type: FK CONSTRAINT; Schema: public

ALTER TABLE ONLY public.idempotency_keys
    ADD CONSTRAINT idempotency_keys__tenant FOREIGN KEY (tenant_id) REFERENCES public.tenants(tenant_id) ON DELETE CASCADE;

-- Name: invites invites__creator; Type: FK CONSTRAINT; Schema: public

ALTER TABLE ONLY public.invites
    ADD CONSTRAINT invites__creator FOREIGN KEY (tenant_id, created_by) REFERENCES public.users(tenant_id, user_id) ON DELETE CASCADE;

-- Name: jobs jobs__tenant; Type: FK CONSTRAINT; Schema: public

ALTER TABLE ONLY public.jobs
    ADD CONSTRAINT jobs__tenant FOREIGN KEY (tenant_id) REFERENCES public.tenants(tenant_id) ON DELETE CASCADE;

-- Name: memories memories__tenant; Type: FK CONSTRAINT; Schema: public

ALTER TABLE ONLY public.memories
    ADD CONSTRAINT memories__tenant FOREIGN KEY (tenant_id) REFERENCES public.tenants(tenant_id) ON DELETE CASCADE;

-- Name: memory_versions memory_versions__tenant; Type: FK CONSTRAINT; Schema: public

ALTER TABLE ONLY public.memory_versions
    ADD CONSTRAINT memory_versions__tenant FOREIGN KEY (tenant_id) REFERENCES public.tenants(tenant_id) ON DELETE CASCADE;

-- Name: overlays overlays__tenant; Type: FK CONSTRAINT; Schema: public

ALTER TABLE ONLY public.overlays
    ADD CONSTRAINT overlays__tenant FOREIGN KEY (tenant_id) REFERENCES public.tenants(tenant_id) ON DELETE CASCADE;

-- Name: password_resets password_resets__user; Type: FK CONSTRAINT; Schema: public

ALTER TABLE ONLY public.password_resets
    ADD CONSTRAINT password_resets__user FOREIGN KEY (tenant_id, user_id) REFERENCES public.users(tenant_id, user_id) ON DELETE CASCADE;

-- Name: refresh_tokens refresh_tokens__session; Type: FK CONSTRAINT; Schema: public

ALTER TABLE ONLY public.refresh_tokens
    ADD CONSTRAINT refresh_tokens__session FOREIGN KEY (tenant_id, session_id) REFERENCES public.sessions(tenant_id, session_id) ON DELETE CASCADE;

-- Name: retention_policies retention_policies__tenant; Type: FK CONSTRAINT; Schema: public

ALTER TABLE ONLY public.retention_policies
    ADD CONSTRAINT retention_policies__tenant FOREIGN KEY (tenant_id) REFERENCES public.tenants(tenant_id) ON DELETE CASCADE;

-- Name: sessions sessions__user; Type: FK CONSTRAINT; Schema: public

ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions__user FOREIGN KEY (tenant_id, user_id) REFERENCES public.users(tenant_id, user_id) ON DELETE CASCADE;

-- Name: tenant_clocks tenant_clocks__tenant; Type: FK CONSTRAINT; Schema: public

ALTER TABLE ONLY public.tenant_clocks
    ADD CONSTRAINT tenant_clocks__tenant FOREIGN KEY (tenant_id) REFERENCES public.tenants(tenant_id) ON DELETE CASCADE;

-- Name: users users__tenant; Type: FK CONSTRAINT; Schema: public

ALTER TABLE ONLY public.users
    ADD CONSTRAINT users__tenant FOREIGN KEY (tenant_id) REFERENCES public.tenants(tenant_id) ON DELETE CASCADE;

-- Name: webhook_deliveries webhook_deliveries__webhook; Type: FK CONSTRAINT; Schema: public

ALTER TABLE ONLY public.webhook_deliveries
    ADD CONSTRAINT webhook_deliveries__webhook FOREIGN KEY (tenant_id, webhook_id) REFERENCES public.webhooks(tenant_id, webhook_id) ON DELETE CASCADE;

-- Name: webhooks webhooks__tenant; Type: FK CONSTRAINT; Schema: public

ALTER TABLE ONLY public.webhooks
    ADD CONSTRAINT webhooks__tenant FOREIGN KEY (tenant_id) REFERENCES public.tenants(tenant_id) ON DELETE CASCADE;

-- Name: api_keys; Type: ROW SECURITY; Schema: public

ALTER TABLE public.api_keys ENABLE ROW LEVEL SECURITY;

-- Name: artifacts; Type: ROW SECURITY; Schema: public

ALTER TABLE public.artifacts ENABLE ROW LEVEL SECURITY;

-- Name: audit_clocks; Type: ROW SECURITY; Schema: public

ALTER TABLE public.audit_clocks ENABLE ROW LEVEL SECURITY;

-- Name: audit_entries; Type: ROW SECURITY; Schema: public

ALTER TABLE public.audit_entries ENABLE ROW LEVEL SECURITY;

-- Name: api_keys backup_reads; Type: POLICY; Schema: public

CREATE POLICY backup_reads ON public.api_keys FOR SELECT TO agent_memory_backup USING ((( SELECT CURRENT_USER AS "current_user") = 'agent_memory_backup'::name));

-- Name: artifacts backup_reads; Type: POLICY; Schema: public

CREATE POLICY backup_reads ON public.artifacts FOR SELECT TO agent_memory_backup USING ((( SELECT CURRENT_USER AS "current_user") = 'agent_memory_backup'::name));

-- Name: audit_clocks backup_reads; Type: POLICY; Schema: public

CREATE POLICY backup_reads ON public.audit_clocks FOR SELECT TO agent_memory_backup USING ((( SELECT CURRENT_USER AS "current_user") = 'agent_memory_backup'::name));

-- Name: audit_entries backup_reads; Type: POLICY; Schema: public

CREATE POLICY backup_reads ON public.audit_entries FOR SELECT TO agent_memory_backup USING ((( SELECT CURRENT_USER AS "current_user") = 'agent_memory_backup'::name));

-- Name: capsules backup_reads; Type: POLICY; Schema: public

CREATE POLICY backup_reads ON public.capsules FOR SELECT TO agent_memory_backup USING ((( SELECT CURRENT_USER AS "current_user") = 'agent_memory_backup'::name));

-- Name: chunk_rebuilds backup_reads; Type: POLICY; Schema: public

CREATE POLICY backup_reads ON public.chunk_rebuilds FOR SELECT TO agent_memory_backup USING ((( SELECT CURRENT_USER AS "current_user") = 'agent_memory_backup'::name));

-- Name: chunks backup_reads; Type: POLICY; Schema: public

CREATE POLICY backup_reads ON public.chunks FOR SELECT TO agent_memory_backup USING ((( SELECT CURRENT_USER AS "current_user") = 'agent_memory_backup'::name));

-- Name: edit_events backup_reads; Type: POLICY; Schema: public

CREATE POLICY backup_reads ON public.edit_events FOR SELECT TO agent_memory_backup USING ((( SELECT CURRENT_USER AS "current_user") = 'agent_memory_backup'::name));

-- Name: edits backup_reads; Type: POLICY; Schema: public

CREATE POLICY backup_reads ON public.edits FOR SELECT TO agent_memory_backup USING ((( SELECT CURRENT_USER AS "current_user") = 'agent_memory_backup'::name));

-- Name: erasure_marks backup_reads; Type: POLICY; Schema: public

CREATE POLICY backup_reads ON public.erasure_marks FOR SELECT TO agent_memory_backup USING ((( SELECT CURRENT_USER AS "current_user") = 'agent_memory_backup'::name));

-- Name: events backup_reads; Type: POLICY; Schema: public

CREATE POLICY backup_reads ON public.events FOR SELECT TO agent_memory_backup USING ((( SELECT CURRENT_USER AS "current_user") = 'agent_memory_backup'::name));

-- Name: idempotency_keys backup_reads; Type: POLICY; Schema: public

CREATE POLICY backup_reads ON public.idempotency_keys FOR SELECT TO agent_memory_backup USING ((( SELECT CURRENT_USER AS "current_user") = 'agent_memory_backup'::name));

-- Name: invites backup_reads; Type: POLICY; Schema: public

CREATE POLICY backup_reads ON public.invites FOR SELECT TO agent_memory_backup USING ((( SELECT CURRENT_USER AS "current_user") = 'agent_memory_backup'::name));

-- Name: jobs backup_reads; Type: POLICY; Schema: public

CREATE POLICY backup_reads ON public.jobs FOR SELECT TO agent_memory_backup USING ((( SELECT CURRENT_USER AS "current_user") = 'agent_memory_backup'::name));

-- Name: memories backup_reads; Type: POLICY; Schema: public

CREATE POLICY backup_reads ON public.memories FOR SELECT TO agent_memory_backup USING ((( SELECT CURRENT_USER AS "current_user") = 'agent_memory_backup'::name));

-- Name: memory_versions backup_reads; Type: POLICY; Schema: public

CREATE POLICY backup_reads ON public.memory_versions FOR SELECT TO agent_memory_backup USING ((( SELECT CURRENT_USER AS "current_user") = 'agent_memory_backup'::name));

-- Name: overlays backup_reads; Type: POLICY; Schema: public

CREATE POLICY backup_reads ON public.overlays FOR SELECT TO agent_memory_backup USING ((( SELECT CURRENT_USER AS "current_user") = 'agent_memory_backup'::name));

-- Name: password_resets backup_reads; Type: POLICY; Schema: public

CREATE POLICY backup_reads ON public.password_resets FOR SELECT TO agent_memory_backup USING ((( SELECT CURRENT_USER AS "current_user") = 'agent_memory_backup'::name));

-- Name: refresh_tokens backup_reads; Type: POLICY; Schema: public

CREATE POLICY backup_reads ON public.refresh_tokens FOR SELECT TO agent_memory_backup USING ((( SELECT CURRENT_USER AS "current_user") = 'agent_memory_backup'::name));

-- Name: retention_policies backup_reads; Type: POLICY; Schema: public

CREATE POLICY backup_reads ON public.retention_policies FOR SELECT TO agent_memory_backup USING ((( SELECT CURRENT_USER AS "current_user") = 'agent_memory_backup'::name));

-- Name: sessions backup_reads; Type: POLICY; Schema: public

CREATE POLICY backup_reads ON public.sessions FOR SELECT TO agent_memory_backup USING ((( SELECT CURRENT_USER AS "current_user") = 'agent_memory_backup'::name));

-- Name: tenant_clocks backup_reads; Type: POLICY; Schema: public

CREATE POLICY backup_reads ON public.tenant_clocks FOR SELECT TO agent_memory_backup USING ((( SELECT CURRENT_USER AS "current_user") = 'agent_memory_backup'::name));

-- Name: tenants backup_reads; Type: POLICY; Schema: public

CREATE POLICY backup_reads ON public.tenants FOR SELECT TO agent_memory_backup USING ((( SELECT CURRENT_USER AS "current_user") = 'agent_memory_backup'::name));

-- Name: users backup_reads; Type: POLICY; Schema: public

CREATE POLICY backup_reads ON public.users FOR SELECT TO agent_memory_backup USING ((( SELECT CURRENT_USER AS "current_user") = 'agent_memory_backup'::name));

-- Name: webhook_deliveries backup_reads; Type: POLICY; Schema: public

CREATE POLICY backup_reads ON public.webhook_deliveries FOR SELECT TO agent_memory_backup USING ((( SELECT CURRENT_USER AS "current_user") = 'agent_memory_backup'::name));

-- Name: webhooks backup_reads; Type: POLICY; Schema: public

CREATE POLICY backup_reads ON public.webhooks FOR SELECT TO agent_memory_backup USING ((( SELECT CURRENT_USER AS "current_user") = 'agent_memory_backup'::name));

-- Name: events blanker_blanks; Type: POLICY; Schema: public

CREATE POLICY blanker_blanks ON public.events FOR UPDATE TO agent_memory_blanker USING ((tenant_id = ( SELECT public.tenant_forgetting() AS tenant_forgetting))) WITH CHECK ((tenant_id = ( SELECT public.tenant_forgetting() AS tenant_forgetting)));

-- Name: events blanker_finds; Type: POLICY; Schema: public

CREATE POLICY blanker_finds ON public.events FOR SELECT TO agent_memory_blanker USING ((tenant_id = ( SELECT public.tenant_forgetting() AS tenant_forgetting)));

-- Name: jobs blanker_reads; Type: POLICY; Schema: public

CREATE POLICY blanker_reads ON public.jobs FOR SELECT TO agent_memory_blanker USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

-- Name: events blanker_trims; Type: POLICY; Schema: public

CREATE POLICY blanker_trims ON public.events FOR DELETE TO agent_memory_blanker USING ((tenant_id = ( SELECT public.tenant_forgetting() AS tenant_forgetting)));

-- Name: capsules; Type: ROW SECURITY; Schema: public

ALTER TABLE public.capsules ENABLE ROW LEVEL SECURITY;

-- Name: chunk_rebuilds; Type: ROW SECURITY; Schema: public

ALTER TABLE public.chunk_rebuilds ENABLE ROW LEVEL SECURITY;

-- Name: chunks; Type: ROW SECURITY; Schema: public

ALTER TABLE public.chunks ENABLE ROW LEVEL SECURITY;

-- Name: edit_events; Type: ROW SECURITY; Schema: public

ALTER TABLE public.edit_events ENABLE ROW LEVEL SECURITY;

-- Name: edits; Type: ROW SECURITY; Schema: public

ALTER TABLE public.edits ENABLE ROW LEVEL SECURITY;

-- Name: api_keys eraser_deletes; Type: POLICY; Schema: public

CREATE POLICY eraser_deletes ON public.api_keys FOR DELETE TO agent_memory_eraser USING ((tenant_id = ( SELECT public.tenant_deleting() AS tenant_deleting)));

-- Name: artifacts eraser_deletes; Type: POLICY; Schema: public

CREATE POLICY eraser_deletes ON public.artifacts FOR DELETE TO agent_memory_eraser USING ((tenant_id = ( SELECT public.tenant_deleting() AS tenant_deleting)));

-- Name: audit_clocks eraser_deletes; Type: POLICY; Schema: public

CREATE POLICY eraser_deletes ON public.audit_clocks FOR DELETE TO agent_memory_eraser USING ((tenant_id = ( SELECT public.tenant_deleting() AS tenant_deleting)));

-- Name: audit_entries eraser_deletes; Type: POLICY; Schema: public

CREATE POLICY eraser_deletes ON public.audit_entries FOR DELETE TO agent_memory_eraser USING ((tenant_id = ( SELECT public.tenant_deleting() AS tenant_deleting)));

-- Name: capsules eraser_deletes; Type: POLICY; Schema: public

CREATE POLICY eraser_deletes ON public.capsules FOR DELETE TO agent_memory_eraser USING ((tenant_id = ( SELECT public.tenant_deleting() AS tenant_deleting)));

-- Name: chunk_rebuilds eraser_deletes; Type: POLICY; Schema: public

CREATE POLICY eraser_deletes ON public.chunk_rebuilds FOR DELETE TO agent_memory_eraser USING ((tenant_id = ( SELECT public.tenant_deleting() AS tenant_deleting)));

-- Name: chunks eraser_deletes; Type: POLICY; Schema: public

CREATE POLICY eraser_deletes ON public.chunks FOR DELETE TO agent_memory_eraser USING ((tenant_id = ( SELECT public.tenant_deleting() AS tenant_deleting)));

-- Name: edit_events eraser_deletes; Type: POLICY; Schema: public

CREATE POLICY eraser_deletes ON public.edit_events FOR DELETE TO agent_memory_eraser USING ((tenant_id = ( SELECT public.tenant_deleting() AS tenant_deleting)));

-- Name: edits eraser_deletes; Type: POLICY; Schema: public

CREATE POLICY eraser_deletes ON public.edits FOR DELETE TO agent_memory_eraser USING ((tenant_id = ( SELECT public.tenant_deleting() AS tenant_deleting)));

-- Name: erasure_marks eraser_deletes; Type: POLICY; Schema: public

CREATE POLICY eraser_deletes ON public.erasure_marks FOR DELETE TO agent_memory_eraser USING ((tenant_id = ( SELECT public.tenant_deleting() AS tenant_deleting)));

-- Name: events eraser_deletes; Type: POLICY; Schema: public

CREATE POLICY eraser_deletes ON public.events FOR DELETE TO agent_memory_eraser USING ((tenant_id = ( SELECT public.tenant_deleting() AS tenant_deleting)));

-- Name: idempotency_keys eraser_deletes; Type: POLICY; Schema: public

CREATE POLICY eraser_deletes ON public.idempotency_keys FOR DELETE TO agent_memory_eraser USING ((tenant_id = ( SELECT public.tenant_deleting() AS tenant_deleting)));

-- Name: invites eraser_deletes; Type: POLICY; Schema: public

CREATE POLICY eraser_deletes ON public.invites FOR DELETE TO agent_memory_eraser USING ((tenant_id = ( SELECT public.tenant_deleting() AS tenant_deleting)));

-- Name: jobs eraser_deletes; Type: POLICY; Schema: public

CREATE POLICY eraser_deletes ON public.jobs FOR DELETE TO agent_memory_eraser USING ((tenant_id = ( SELECT public.tenant_deleting() AS tenant_deleting)));

-- Name: memories eraser_deletes; Type: POLICY; Schema: public

CREATE POLICY eraser_deletes ON public.memories FOR DELETE TO agent_memory_eraser USING ((tenant_id = ( SELECT public.tenant_deleting() AS tenant_deleting)));

-- Name: memory_versions eraser_deletes; Type: POLICY; Schema: public

CREATE POLICY eraser_deletes ON public.memory_versions FOR DELETE TO agent_memory_eraser USING ((tenant_id = ( SELECT public.tenant_deleting() AS tenant_deleting)));

-- Name: overlays eraser_deletes; Type: POLICY; Schema: public

CREATE POLICY eraser_deletes ON public.overlays FOR DELETE TO agent_memory_eraser USING ((tenant_id = ( SELECT public.tenant_deleting() AS tenant_deleting)));

-- Name: password_resets eraser_deletes; Type: POLICY; Schema: public

CREATE POLICY eraser_deletes ON public.password_resets FOR DELETE TO agent_memory_eraser USING ((tenant_id = ( SELECT public.tenant_deleting() AS tenant_deleting)));

-- Name: refresh_tokens eraser_deletes; Type: POLICY; Schema: public

CREATE POLICY eraser_deletes ON public.refresh_tokens FOR DELETE TO agent_memory_eraser USING ((tenant_id = ( SELECT public.tenant_deleting() AS tenant_deleting)));

-- Name: retention_policies eraser_deletes; Type: POLICY; Schema: public

CREATE POLICY eraser_deletes ON public.retention_policies FOR DELETE TO agent_memory_eraser USING ((tenant_id = ( SELECT public.tenant_deleting() AS tenant_deleting)));

-- Name: sessions eraser_deletes; Type: POLICY; Schema: public

CREATE POLICY eraser_deletes ON public.sessions FOR DELETE TO agent_memory_eraser USING ((tenant_id = ( SELECT public.tenant_deleting() AS tenant_deleting)));

-- Name: tenant_clocks eraser_deletes; Type: POLICY; Schema: public

CREATE POLICY eraser_deletes ON public.tenant_clocks FOR DELETE TO agent_memory_eraser USING ((tenant_id = ( SELECT public.tenant_deleting() AS tenant_deleting)));

-- Name: tenants eraser_deletes; Type: POLICY; Schema: public

CREATE POLICY eraser_deletes ON public.tenants FOR DELETE TO agent_memory_eraser USING (((tenant_id = ( SELECT public.current_tenant() AS current_tenant)) AND (state = 'deleting'::text)));

-- Name: users eraser_deletes; Type: POLICY; Schema: public

CREATE POLICY eraser_deletes ON public.users FOR DELETE TO agent_memory_eraser USING ((tenant_id = ( SELECT public.tenant_deleting() AS tenant_deleting)));

-- Name: webhook_deliveries eraser_deletes; Type: POLICY; Schema: public

CREATE POLICY eraser_deletes ON public.webhook_deliveries FOR DELETE TO agent_memory_eraser USING ((tenant_id = ( SELECT public.tenant_deleting() AS tenant_deleting)));

-- Name: webhooks eraser_deletes; Type: POLICY; Schema: public

CREATE POLICY eraser_deletes ON public.webhooks FOR DELETE TO agent_memory_eraser USING ((tenant_id = ( SELECT public.tenant_deleting() AS tenant_deleting)));

-- Name: api_keys eraser_finds; Type: POLICY; Schema: public

CREATE POLICY eraser_finds ON public.api_keys FOR SELECT TO agent_memory_eraser USING ((tenant_id = ( SELECT public.tenant_deleting() AS tenant_deleting)));

-- Name: artifacts eraser_finds; Type: POLICY; Schema: public

CREATE POLICY eraser_finds ON public.artifacts FOR SELECT TO agent_memory_eraser USING ((tenant_id = ( SELECT public.tenant_deleting() AS tenant_deleting)));

-- Name: audit_clocks eraser_finds; Type: POLICY; Schema: public

CREATE POLICY eraser_finds ON public.audit_clocks FOR SELECT TO agent_memory_eraser USING ((tenant_id = ( SELECT public.tenant_deleting() AS tenant_deleting)));

-- Name: audit_entries eraser_finds; Type: POLICY; Schema: public

CREATE POLICY eraser_finds ON public.audit_entries FOR SELECT TO agent_memory_eraser USING ((tenant_id = ( SELECT public.tenant_deleting() AS tenant_deleting)));

-- Name: capsules eraser_finds; Type: POLICY; Schema: public

CREATE POLICY eraser_finds ON public.capsules FOR SELECT TO agent_memory_eraser USING ((tenant_id = ( SELECT public.tenant_deleting() AS tenant_deleting)));

-- Name: chunk_rebuilds eraser_finds; Type: POLICY; Schema: public

CREATE POLICY eraser_finds ON public.chunk_rebuilds FOR SELECT TO agent_memory_eraser USING ((tenant_id = ( SELECT public.tenant_deleting() AS tenant_deleting)));

-- Name: chunks eraser_finds; Type: POLICY; Schema: public

CREATE POLICY eraser_finds ON public.chunks FOR SELECT TO agent_memory_eraser USING ((tenant_id = ( SELECT public.tenant_deleting() AS tenant_deleting)));

-- Name: edit_events eraser_finds; Type: POLICY; Schema: public

CREATE POLICY eraser_finds ON public.edit_events FOR SELECT TO agent_memory_eraser USING ((tenant_id = ( SELECT public.tenant_deleting() AS tenant_deleting)));

-- Name: edits eraser_finds; Type: POLICY; Schema: public

CREATE POLICY eraser_finds ON public.edits FOR SELECT TO agent_memory_eraser USING ((tenant_id = ( SELECT public.tenant_deleting() AS tenant_deleting)));

-- Name: erasure_marks eraser_finds; Type: POLICY; Schema: public

CREATE POLICY eraser_finds ON public.erasure_marks FOR SELECT TO agent_memory_eraser USING ((tenant_id = ( SELECT public.tenant_deleting() AS tenant_deleting)));

-- Name: events eraser_finds; Type: POLICY; Schema: public

CREATE POLICY eraser_finds ON public.events FOR SELECT TO agent_memory_eraser USING ((tenant_id = ( SELECT public.tenant_deleting() AS tenant_deleting)));

-- Name: idempotency_keys eraser_finds; Type: POLICY; Schema: public

CREATE POLICY eraser_finds ON public.idempotency_keys FOR SELECT TO agent_memory_eraser USING ((tenant_id = ( SELECT public.tenant_deleting() AS tenant_deleting)));

-- Name: invites eraser_finds; Type: POLICY; Schema: public

CREATE POLICY eraser_finds ON public.invites FOR SELECT TO agent_memory_eraser USING ((tenant_id = ( SELECT public.tenant_deleting() AS tenant_deleting)));

-- Name: jobs eraser_finds; Type: POLICY; Schema: public

CREATE POLICY eraser_finds ON public.jobs FOR SELECT TO agent_memory_eraser USING ((tenant_id = ( SELECT public.tenant_deleting() AS tenant_deleting)));

-- Name: memories eraser_finds; Type: POLICY; Schema: public

CREATE POLICY eraser_finds ON public.memories FOR SELECT TO agent_memory_eraser USING ((tenant_id = ( SELECT public.tenant_deleting() AS tenant_deleting)));

-- Name: memory_versions eraser_finds; Type: POLICY; Schema: public

CREATE POLICY eraser_finds ON public.memory_versions FOR SELECT TO agent_memory_eraser USING ((tenant_id = ( SELECT public.tenant_deleting() AS tenant_deleting)));

-- Name: overlays eraser_finds; Type: POLICY; Schema: public

CREATE POLICY eraser_finds ON public.overlays FOR SELECT TO agent_memory_eraser USING ((tenant_id = ( SELECT public.tenant_deleting() AS tenant_deleting)));

-- Name: password_resets eraser_finds; Type: POLICY; Schema: public

CREATE POLICY eraser_finds ON public.password_resets FOR SELECT TO agent_memory_eraser USING ((tenant_id = ( SELECT public.tenant_deleting() AS tenant_deleting)));

-- Name: refresh_tokens eraser_finds; Type: POLICY; Schema: public

CREATE POLICY eraser_finds ON public.refresh_tokens FOR SELECT TO agent_memory_eraser USING ((tenant_id = ( SELECT public.tenant_deleting() AS tenant_deleting)));

-- Name: retention_policies eraser_finds; Type: POLICY; Schema: public

CREATE POLICY eraser_finds ON public.retention_policies FOR SELECT TO agent_memory_eraser USING ((tenant_id = ( SELECT public.tenant_deleting() AS tenant_deleting)));

-- Name: sessions eraser_finds; Type: POLICY; Schema: public

CREATE POLICY eraser_finds ON public.sessions FOR SELECT TO agent_memory_eraser USING ((tenant_id = ( SELECT public.tenant_deleting() AS tenant_deleting)));

-- Name: tenant_clocks eraser_finds; Type: POLICY; Schema: public

CREATE POLICY eraser_finds ON public.tenant_clocks FOR SELECT TO agent_memory_eraser USING ((tenant_id = ( SELECT public.tenant_deleting() AS tenant_deleting)));

-- Name: tenants eraser_finds; Type: POLICY; Schema: public

CREATE POLICY eraser_finds ON public.tenants FOR SELECT TO agent_memory_eraser USING (((tenant_id = ( SELECT public.current_tenant() AS current_tenant)) AND (state = 'deleting'::text)));

-- Name: users eraser_finds; Type: POLICY; Schema: public

CREATE POLICY eraser_finds ON public.users FOR SELECT TO agent_memory_eraser USING ((tenant_id = ( SELECT public.tenant_deleting() AS tenant_deleting)));

-- Name: webhook_deliveries eraser_finds; Type: POLICY; Schema: public

CREATE POLICY eraser_finds ON public.webhook_deliveries FOR SELECT TO agent_memory_eraser USING ((tenant_id = ( SELECT public.tenant_deleting() AS tenant_deleting)));

-- Name: webhooks eraser_finds; Type: POLICY; Schema: public

CREATE POLICY eraser_finds ON public.webhooks FOR SELECT TO agent_memory_eraser USING ((tenant_id = ( SELECT public.tenant_deleting() AS tenant_deleting)));

-- Name: audit_entries eraser_of_audit; Type: POLICY; Schema: public

CREATE POLICY eraser_of_audit ON public.audit_entries TO agent_memory_audit_eraser USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

-- Name: tenant_clocks eraser_sees_import; Type: POLICY; Schema: public

CREATE POLICY eraser_sees_import ON public.tenant_clocks FOR SELECT TO agent_memory_eraser USING (((tenant_id = ( SELECT public.current_tenant() AS current_tenant)) AND (importing IS NOT NULL)));

-- Name: erasure_marks; Type: ROW SECURITY; Schema: public

ALTER TABLE public.erasure_marks ENABLE ROW LEVEL SECURITY;

-- Name: events; Type: ROW SECURITY; Schema: public

ALTER TABLE public.events ENABLE ROW LEVEL SECURITY;

-- Name: idempotency_keys; Type: ROW SECURITY; Schema: public

ALTER TABLE public.idempotency_keys ENABLE ROW LEVEL SECURITY;

-- Name: invites; Type: ROW SECURITY; Schema: public

ALTER TABLE public.invites ENABLE ROW LEVEL SECURITY;

-- Name: jobs; Type: ROW SECURITY; Schema: public

ALTER TABLE public.jobs ENABLE ROW LEVEL SECURITY;

-- Name: memories; Type: ROW SECURITY; Schema: public

ALTER TABLE public.memories ENABLE ROW LEVEL SECURITY;

-- Name: memory_versions; Type: ROW SECURITY; Schema: public

ALTER TABLE public.memory_versions ENABLE ROW LEVEL SECURITY;

-- Name: overlays; Type: ROW SECURITY; Schema: public

ALTER TABLE public.overlays ENABLE ROW LEVEL SECURITY;

-- Name: jobs overseer_reads; Type: POLICY; Schema: public

CREATE POLICY overseer_reads ON public.jobs FOR SELECT TO agent_memory_overseer USING (true);

-- Name: tenant_clocks overseer_reads; Type: POLICY; Schema: public

CREATE POLICY overseer_reads ON public.tenant_clocks FOR SELECT TO agent_memory_overseer USING (true);

-- Name: tenants overseer_reads; Type: POLICY; Schema: public

CREATE POLICY overseer_reads ON public.tenants FOR SELECT TO agent_memory_overseer USING (true);

-- Name: webhooks overseer_reads; Type: POLICY; Schema: public

CREATE POLICY overseer_reads ON public.webhooks FOR SELECT TO agent_memory_overseer USING (true);

-- Name: password_resets; Type: ROW SECURITY; Schema: public

ALTER TABLE public.password_resets ENABLE ROW LEVEL SECURITY;

-- Name: refresh_tokens; Type: ROW SECURITY; Schema: public

ALTER TABLE public.refresh_tokens ENABLE ROW LEVEL SECURITY;

-- Name: retention_policies; Type: ROW SECURITY; Schema: public

ALTER TABLE public.retention_policies ENABLE ROW LEVEL SECURITY;

-- Name: chunks searcher_reads; Type: POLICY; Schema: public

CREATE POLICY searcher_reads ON public.chunks FOR SELECT TO agent_memory_searcher USING (true);

-- Name: events searcher_reads; Type: POLICY; Schema: public

CREATE POLICY searcher_reads ON public.events FOR SELECT TO agent_memory_searcher USING (true);

-- Name: memories searcher_reads; Type: POLICY; Schema: public

CREATE POLICY searcher_reads ON public.memories FOR SELECT TO agent_memory_searcher USING (true);

-- Name: memory_versions searcher_reads; Type: POLICY; Schema: public

CREATE POLICY searcher_reads ON public.memory_versions FOR SELECT TO agent_memory_searcher USING (true);

-- Name: overlays searcher_reads; Type: POLICY; Schema: public

CREATE POLICY searcher_reads ON public.overlays FOR SELECT TO agent_memory_searcher USING (true);

-- Name: sessions; Type: ROW SECURITY; Schema: public

ALTER TABLE public.sessions ENABLE ROW LEVEL SECURITY;

-- Name: tenant_clocks; Type: ROW SECURITY; Schema: public

ALTER TABLE public.tenant_clocks ENABLE ROW LEVEL SECURITY;

-- Name: api_keys tenant_wall; Type: POLICY; Schema: public

CREATE POLICY tenant_wall ON public.api_keys TO agent_memory_app USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

-- Name: artifacts tenant_wall; Type: POLICY; Schema: public

CREATE POLICY tenant_wall ON public.artifacts TO agent_memory_app USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

-- Name: audit_clocks tenant_wall; Type: POLICY; Schema: public

CREATE POLICY tenant_wall ON public.audit_clocks TO agent_memory_app USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

-- Name: audit_entries tenant_wall; Type: POLICY; Schema: public

CREATE POLICY tenant_wall ON public.audit_entries TO agent_memory_app USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

-- Name: capsules tenant_wall; Type: POLICY; Schema: public

CREATE POLICY tenant_wall ON public.capsules TO agent_memory_app USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

-- Name: chunk_rebuilds tenant_wall; Type: POLICY; Schema: public

CREATE POLICY tenant_wall ON public.chunk_rebuilds TO agent_memory_app USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

-- Name: chunks tenant_wall; Type: POLICY; Schema: public

CREATE POLICY tenant_wall ON public.chunks TO agent_memory_app USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

-- Name: edit_events tenant_wall; Type: POLICY; Schema: public

CREATE POLICY tenant_wall ON public.edit_events TO agent_memory_app USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

-- Name: edits tenant_wall; Type: POLICY; Schema: public

CREATE POLICY tenant_wall ON public.edits TO agent_memory_app USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

-- Name: erasure_marks tenant_wall; Type: POLICY; Schema: public

CREATE POLICY tenant_wall ON public.erasure_marks TO agent_memory_app USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

-- Name: events tenant_wall; Type: POLICY; Schema: public

CREATE POLICY tenant_wall ON public.events TO agent_memory_app USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

-- Name: idempotency_keys tenant_wall; Type: POLICY; Schema: public

CREATE POLICY tenant_wall ON public.idempotency_keys TO agent_memory_app USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

-- Name: invites tenant_wall; Type: POLICY; Schema: public

CREATE POLICY tenant_wall ON public.invites TO agent_memory_app USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

-- Name: jobs tenant_wall; Type: POLICY; Schema: public

CREATE POLICY tenant_wall ON public.jobs TO agent_memory_app USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

-- Name: memories tenant_wall; Type: POLICY; Schema: public

CREATE POLICY tenant_wall ON public.memories TO agent_memory_app USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

-- Name: memory_versions tenant_wall; Type: POLICY; Schema: public

CREATE POLICY tenant_wall ON public.memory_versions TO agent_memory_app USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

-- Name: overlays tenant_wall; Type: POLICY; Schema: public

CREATE POLICY tenant_wall ON public.overlays TO agent_memory_app USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

-- Name: password_resets tenant_wall; Type: POLICY; Schema: public

CREATE POLICY tenant_wall ON public.password_resets TO agent_memory_app USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

-- Name: refresh_tokens tenant_wall; Type: POLICY; Schema: public

CREATE POLICY tenant_wall ON public.refresh_tokens TO agent_memory_app USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

-- Name: retention_policies tenant_wall; Type: POLICY; Schema: public

CREATE POLICY tenant_wall ON public.retention_policies TO agent_memory_app USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

-- Name: sessions tenant_wall; Type: POLICY; Schema: public

CREATE POLICY tenant_wall ON public.sessions TO agent_memory_app USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

-- Name: tenant_clocks tenant_wall; Type: POLICY; Schema: public

CREATE POLICY tenant_wall ON public.tenant_clocks TO agent_memory_app USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

-- Name: tenants tenant_wall; Type: POLICY; Schema: public

CREATE POLICY tenant_wall ON public.tenants TO agent_memory_app USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

-- Name: users tenant_wall; Type: POLICY; Schema: public

CREATE POLICY tenant_wall ON public.users TO agent_memory_app USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

-- Name: webhook_deliveries tenant_wall; Type: POLICY; Schema: public

CREATE POLICY tenant_wall ON public.webhook_deliveries TO agent_memory_app USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

-- Name: webhooks tenant_wall; Type: POLICY; Schema: public

CREATE POLICY tenant_wall ON public.webhooks TO agent_memory_app USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

-- Name: tenants; Type: ROW SECURITY; Schema: public

ALTER TABLE public.tenants ENABLE ROW LEVEL SECURITY;

-- Name: artifacts undo_deletes; Type: POLICY; Schema: public

CREATE POLICY undo_deletes ON public.artifacts FOR DELETE TO agent_memory_eraser USING (((tenant_id = ( SELECT public.current_tenant() AS current_tenant)) AND ( SELECT public.is_importing() AS is_importing)));

-- Name: capsules undo_deletes; Type: POLICY; Schema: public

CREATE POLICY undo_deletes ON public.capsules FOR DELETE TO agent_memory_eraser USING (((tenant_id = ( SELECT public.current_tenant() AS current_tenant)) AND ( SELECT public.is_importing() AS is_importing)));

-- Name: edit_events undo_deletes; Type: POLICY; Schema: public

CREATE POLICY undo_deletes ON public.edit_events FOR DELETE TO agent_memory_eraser USING (((tenant_id = ( SELECT public.current_tenant() AS current_tenant)) AND ( SELECT public.is_importing() AS is_importing)));

-- Name: edits undo_deletes; Type: POLICY; Schema: public

CREATE POLICY undo_deletes ON public.edits FOR DELETE TO agent_memory_eraser USING (((tenant_id = ( SELECT public.current_tenant() AS current_tenant)) AND ( SELECT public.is_importing() AS is_importing)));

-- Name: events undo_deletes; Type: POLICY; Schema: public

CREATE POLICY undo_deletes ON public.events FOR DELETE TO agent_memory_eraser USING (((tenant_id = ( SELECT public.current_tenant() AS current_tenant)) AND ( SELECT public.is_importing() AS is_importing)));

-- Name: memories undo_deletes; Type: POLICY; Schema: public

CREATE POLICY undo_deletes ON public.memories FOR DELETE TO agent_memory_eraser USING (((tenant_id = ( SELECT public.current_tenant() AS current_tenant)) AND ( SELECT public.is_importing() AS is_importing)));

-- Name: memory_versions undo_deletes; Type: POLICY; Schema: public

CREATE POLICY undo_deletes ON public.memory_versions FOR DELETE TO agent_memory_eraser USING (((tenant_id = ( SELECT public.current_tenant() AS current_tenant)) AND ( SELECT public.is_importing() AS is_importing)));

-- Name: overlays undo_deletes; Type: POLICY; Schema: public

CREATE POLICY undo_deletes ON public.overlays FOR DELETE TO agent_memory_eraser USING (((tenant_id = ( SELECT public.current_tenant() AS current_tenant)) AND ( SELECT public.is_importing() AS is_importing)));

-- Name: retention_policies undo_deletes; Type: POLICY; Schema: public

CREATE POLICY undo_deletes ON public.retention_policies FOR DELETE TO agent_memory_eraser USING (((tenant_id = ( SELECT public.current_tenant() AS current_tenant)) AND ( SELECT public.is_importing() AS is_importing)));

-- Name: artifacts undo_finds; Type: POLICY; Schema: public

CREATE POLICY undo_finds ON public.artifacts FOR SELECT TO agent_memory_eraser USING (((tenant_id = ( SELECT public.current_tenant() AS current_tenant)) AND ( SELECT public.is_importing() AS is_importing)));

-- Name: capsules undo_finds; Type: POLICY; Schema: public

CREATE POLICY undo_finds ON public.capsules FOR SELECT TO agent_memory_eraser USING (((tenant_id = ( SELECT public.current_tenant() AS current_tenant)) AND ( SELECT public.is_importing() AS is_importing)));

-- Name: edit_events undo_finds; Type: POLICY; Schema: public

CREATE POLICY undo_finds ON public.edit_events FOR SELECT TO agent_memory_eraser USING (((tenant_id = ( SELECT public.current_tenant() AS current_tenant)) AND ( SELECT public.is_importing() AS is_importing)));

-- Name: edits undo_finds; Type: POLICY; Schema: public

CREATE POLICY undo_finds ON public.edits FOR SELECT TO agent_memory_eraser USING (((tenant_id = ( SELECT public.current_tenant() AS current_tenant)) AND ( SELECT public.is_importing() AS is_importing)));

-- Name: events undo_finds; Type: POLICY; Schema: public

CREATE POLICY undo_finds ON public.events FOR SELECT TO agent_memory_eraser USING (((tenant_id = ( SELECT public.current_tenant() AS current_tenant)) AND ( SELECT public.is_importing() AS is_importing)));

-- Name: memories undo_finds; Type: POLICY; Schema: public

CREATE POLICY undo_finds ON public.memories FOR SELECT TO agent_memory_eraser USING (((tenant_id = ( SELECT public.current_tenant() AS current_tenant)) AND ( SELECT public.is_importing() AS is_importing)));

-- Name: memory_versions undo_finds; Type: POLICY; Schema: public

CREATE POLICY undo_finds ON public.memory_versions FOR SELECT TO agent_memory_eraser USING (((tenant_id = ( SELECT public.current_tenant() AS current_tenant)) AND ( SELECT public.is_importing() AS is_importing)));

-- Name: overlays undo_finds; Type: POLICY; Schema: public

CREATE POLICY undo_finds ON public.overlays FOR SELECT TO agent_memory_eraser USING (((tenant_id = ( SELECT public.current_tenant() AS current_tenant)) AND ( SELECT public.is_importing() AS is_importing)));

-- Name: retention_policies undo_finds; Type: POLICY; Schema: public

CREATE POLICY undo_finds ON public.retention_policies FOR SELECT TO agent_memory_eraser USING (((tenant_id = ( SELECT public.current_tenant() AS current_tenant)) AND ( SELECT public.is_importing() AS is_importing)));

-- Name: users; Type: ROW SECURITY; Schema: public

ALTER TABLE public.users ENABLE ROW LEVEL SECURITY;

-- Name: webhook_deliveries; Type: ROW SECURITY; Schema: public

ALTER TABLE public.webhook_deliveries ENABLE ROW LEVEL SECURITY;

-- Name: webhooks; Type: ROW SECURITY; Schema: public

ALTER TABLE public.webhooks ENABLE ROW LEVEL SECURITY;

-- Name: SCHEMA public; Type: ACL; Schema: -

GRANT USAGE ON SCHEMA public TO agent_memory_app;
GRANT USAGE ON SCHEMA public TO agent_memory_searcher;
GRANT USAGE ON SCHEMA public TO agent_memory_overseer;
GRANT USAGE ON SCHEMA public TO agent_memory_eraser;
GRANT USAGE ON SCHEMA public TO agent_memory_blanker;
GRANT USAGE ON SCHEMA public TO agent_memory_audit_eraser;
GRANT USAGE ON SCHEMA public TO agent_memory_backup;

-- Name: TABLE users; Type: ACL; Schema: public

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.users TO agent_memory_app;
GRANT SELECT,DELETE ON TABLE public.users TO agent_memory_eraser;
GRANT SELECT ON TABLE public.users TO agent_memory_backup;

-- Name: TABLE edit_events; Type: ACL; Schema: public

GRANT SELECT,INSERT,DELETE ON TABLE public.edit_events TO agent_memory_app;
GRANT SELECT,DELETE ON TABLE public.edit_events TO agent_memory_eraser;
GRANT SELECT ON TABLE public.edit_events TO agent_memory_backup;

-- Name: TABLE edits; Type: ACL; Schema: public

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.edits TO agent_memory_app;
GRANT SELECT,DELETE ON TABLE public.edits TO agent_memory_eraser;
GRANT SELECT ON TABLE public.edits TO agent_memory_backup;

-- Name: TABLE events; Type: ACL; Schema: public

GRANT SELECT,INSERT ON TABLE public.events TO agent_memory_app;
GRANT SELECT,DELETE ON TABLE public.events TO agent_memory_eraser;
GRANT SELECT ON TABLE public.events TO agent_memory_backup;
GRANT SELECT ON TABLE public.events TO agent_memory_searcher;
GRANT SELECT,DELETE ON TABLE public.events TO agent_memory_blanker;

-- Name: COLUMN events.tenant_id; Type: ACL; Schema: public

GRANT SELECT(tenant_id) ON TABLE public.events TO agent_memory_searcher;

-- Name: COLUMN events.seq; Type: ACL; Schema: public

GRANT SELECT(seq) ON TABLE public.events TO agent_memory_searcher;

-- Name: COLUMN events.session_id; Type: ACL; Schema: public

GRANT SELECT(session_id) ON TABLE public.events TO agent_memory_searcher;
GRANT UPDATE(session_id) ON TABLE public.events TO agent_memory_blanker;

-- Name: COLUMN events.channel; Type: ACL; Schema: public

GRANT SELECT(channel) ON TABLE public.events TO agent_memory_searcher;

-- Name: COLUMN events.actor_id; Type: ACL; Schema: public

GRANT UPDATE(actor_id) ON TABLE public.events TO agent_memory_blanker;

-- Name: COLUMN events.content; Type: ACL; Schema: public

GRANT UPDATE(content) ON TABLE public.events TO agent_memory_blanker;

-- Name: COLUMN events.user_id; Type: ACL; Schema: public

GRANT SELECT(user_id) ON TABLE public.events TO agent_memory_searcher;
GRANT UPDATE(user_id) ON TABLE public.events TO agent_memory_blanker;

-- Name: COLUMN events.agent_id; Type: ACL; Schema: public

GRANT UPDATE(agent_id) ON TABLE public.events TO agent_memory_blanker;

-- Name: COLUMN events.project_id; Type: ACL; Schema: public

GRANT UPDATE(project_id) ON TABLE public.events TO agent_memory_blanker;

-- Name: COLUMN events.sensitivity; Type: ACL; Schema: public

GRANT SELECT(sensitivity) ON TABLE public.events TO agent_memory_searcher;

-- Name: COLUMN events.tags; Type: ACL; Schema: public

GRANT UPDATE(tags) ON TABLE public.events TO agent_memory_blanker;

-- Name: COLUMN events.refs; Type: ACL; Schema: public

GRANT UPDATE(refs) ON TABLE public.events TO agent_memory_blanker;

-- Name: COLUMN events.metadata; Type: ACL; Schema: public

GRANT UPDATE(metadata) ON TABLE public.events TO agent_memory_blanker;

-- Name: COLUMN events.artifact_id; Type: ACL; Schema: public

GRANT UPDATE(artifact_id) ON TABLE public.events TO agent_memory_blanker;

-- Name: COLUMN events.chunk_count; Type: ACL; Schema: public

GRANT UPDATE(chunk_count) ON TABLE public.events TO agent_memory_blanker;

-- Name: COLUMN events.byte_count; Type: ACL; Schema: public

GRANT UPDATE(byte_count) ON TABLE public.events TO agent_memory_blanker;

-- Name: COLUMN events.erased_at; Type: ACL; Schema: public

GRANT UPDATE(erased_at) ON TABLE public.events TO agent_memory_blanker;

-- Name: COLUMN events.carried_at; Type: ACL; Schema: public

GRANT UPDATE(carried_at) ON TABLE public.events TO agent_memory_blanker;

-- Name: TABLE memories; Type: ACL; Schema: public

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.memories TO agent_memory_app;
GRANT SELECT,DELETE ON TABLE public.memories TO agent_memory_eraser;
GRANT SELECT ON TABLE public.memories TO agent_memory_backup;
GRANT SELECT ON TABLE public.memories TO agent_memory_searcher;

-- Name: TABLE installation; Type: ACL; Schema: public

GRANT SELECT,INSERT,UPDATE ON TABLE public.installation TO agent_memory_app;
GRANT SELECT ON TABLE public.installation TO agent_memory_backup;

-- Name: TABLE chunk_rebuilds; Type: ACL; Schema: public

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.chunk_rebuilds TO agent_memory_app;
GRANT SELECT,DELETE ON TABLE public.chunk_rebuilds TO agent_memory_eraser;
GRANT SELECT ON TABLE public.chunk_rebuilds TO agent_memory_backup;

-- Name: FUNCTION blank_audit(p_tenant text, p_seqs bigint[]); Type: ACL; Schema: public

REVOKE ALL ON FUNCTION public.blank_audit(p_tenant text, p_seqs bigint[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.blank_audit(p_tenant text, p_seqs bigint[]) TO agent_memory_app;

-- Name: FUNCTION blank_events(p_seqs bigint[], p_content jsonb, p_subject text, p_name text); Type: ACL; Schema: public

REVOKE ALL ON FUNCTION public.blank_events(p_seqs bigint[], p_content jsonb, p_subject text, p_name text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.blank_events(p_seqs bigint[], p_content jsonb, p_subject text, p_name text) TO agent_memory_app;

-- Name: FUNCTION carry_events(p_seqs bigint[]); Type: ACL; Schema: public

REVOKE ALL ON FUNCTION public.carry_events(p_seqs bigint[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.carry_events(p_seqs bigint[]) TO agent_memory_app;

-- Name: TABLE memory_versions; Type: ACL; Schema: public

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.memory_versions TO agent_memory_app;
GRANT SELECT,DELETE ON TABLE public.memory_versions TO agent_memory_eraser;
GRANT SELECT ON TABLE public.memory_versions TO agent_memory_backup;
GRANT SELECT ON TABLE public.memory_versions TO agent_memory_searcher;

-- Name: TABLE chunks; Type: ACL; Schema: public

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.chunks TO agent_memory_app;
GRANT SELECT,DELETE ON TABLE public.chunks TO agent_memory_eraser;
GRANT SELECT ON TABLE public.chunks TO agent_memory_backup;
GRANT SELECT ON TABLE public.chunks TO agent_memory_searcher;

-- Name: TABLE tenants; Type: ACL; Schema: public

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.tenants TO agent_memory_app;
GRANT SELECT,DELETE ON TABLE public.tenants TO agent_memory_eraser;
GRANT SELECT ON TABLE public.tenants TO agent_memory_backup;

-- Name: COLUMN tenants.tenant_id; Type: ACL; Schema: public

GRANT SELECT(tenant_id) ON TABLE public.tenants TO agent_memory_overseer;

-- Name: COLUMN tenants.state; Type: ACL; Schema: public

GRANT SELECT(state) ON TABLE public.tenants TO agent_memory_overseer;

-- Name: TABLE api_keys; Type: ACL; Schema: public

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.api_keys TO agent_memory_app;
GRANT SELECT,DELETE ON TABLE public.api_keys TO agent_memory_eraser;
GRANT SELECT ON TABLE public.api_keys TO agent_memory_backup;

-- Name: TABLE invites; Type: ACL; Schema: public

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.invites TO agent_memory_app;
GRANT SELECT,DELETE ON TABLE public.invites TO agent_memory_eraser;
GRANT SELECT ON TABLE public.invites TO agent_memory_backup;

-- Name: TABLE sessions; Type: ACL; Schema: public

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.sessions TO agent_memory_app;
GRANT SELECT,DELETE ON TABLE public.sessions TO agent_memory_eraser;
GRANT SELECT ON TABLE public.sessions TO agent_memory_backup;

-- Name: FUNCTION drop_events(p_seqs bigint[]); Type: ACL; Schema: public

REVOKE ALL ON FUNCTION public.drop_events(p_seqs bigint[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.drop_events(p_seqs bigint[]) TO agent_memory_app;

-- Name: TABLE overlays; Type: ACL; Schema: public

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.overlays TO agent_memory_app;
GRANT SELECT,DELETE ON TABLE public.overlays TO agent_memory_eraser;
GRANT SELECT ON TABLE public.overlays TO agent_memory_backup;

-- Name: COLUMN overlays.tenant_id; Type: ACL; Schema: public

GRANT SELECT(tenant_id) ON TABLE public.overlays TO agent_memory_searcher;

-- Name: COLUMN overlays.seq; Type: ACL; Schema: public

GRANT SELECT(seq) ON TABLE public.overlays TO agent_memory_searcher;

-- Name: COLUMN overlays.blocked_in; Type: ACL; Schema: public

GRANT SELECT(blocked_in) ON TABLE public.overlays TO agent_memory_searcher;

-- Name: FUNCTION erase_rows(p_ms integer); Type: ACL; Schema: public

REVOKE ALL ON FUNCTION public.erase_rows(p_ms integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.erase_rows(p_ms integer) TO agent_memory_app;

-- Name: FUNCTION erase_tenant_row(p_after_s integer); Type: ACL; Schema: public

REVOKE ALL ON FUNCTION public.erase_tenant_row(p_after_s integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.erase_tenant_row(p_after_s integer) TO agent_memory_app;

-- Name: TABLE artifacts; Type: ACL; Schema: public

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.artifacts TO agent_memory_app;
GRANT SELECT,DELETE ON TABLE public.artifacts TO agent_memory_eraser;
GRANT SELECT ON TABLE public.artifacts TO agent_memory_backup;

-- Name: TABLE jobs; Type: ACL; Schema: public

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.jobs TO agent_memory_app;
GRANT SELECT,DELETE ON TABLE public.jobs TO agent_memory_eraser;
GRANT SELECT ON TABLE public.jobs TO agent_memory_backup;

-- Name: COLUMN jobs.tenant_id; Type: ACL; Schema: public

GRANT SELECT(tenant_id) ON TABLE public.jobs TO agent_memory_overseer;
GRANT SELECT(tenant_id) ON TABLE public.jobs TO agent_memory_blanker;

-- Name: COLUMN jobs.job_id; Type: ACL; Schema: public

GRANT SELECT(job_id) ON TABLE public.jobs TO agent_memory_overseer;

-- Name: COLUMN jobs.kind; Type: ACL; Schema: public

GRANT SELECT(kind) ON TABLE public.jobs TO agent_memory_blanker;

-- Name: COLUMN jobs.state; Type: ACL; Schema: public

GRANT SELECT(state) ON TABLE public.jobs TO agent_memory_overseer;
GRANT SELECT(state) ON TABLE public.jobs TO agent_memory_blanker;

-- Name: COLUMN jobs.token; Type: ACL; Schema: public

GRANT SELECT(token) ON TABLE public.jobs TO agent_memory_overseer;

-- Name: COLUMN jobs.due_at; Type: ACL; Schema: public

GRANT SELECT(due_at) ON TABLE public.jobs TO agent_memory_overseer;

-- Name: FUNCTION fingerprint_tables(); Type: ACL; Schema: public

REVOKE ALL ON FUNCTION public.fingerprint_tables() FROM PUBLIC;
GRANT ALL ON FUNCTION public.fingerprint_tables() TO agent_memory_backup;

-- Name: FUNCTION fingerprint_tenants(); Type: ACL; Schema: public

REVOKE ALL ON FUNCTION public.fingerprint_tenants() FROM PUBLIC;
GRANT ALL ON FUNCTION public.fingerprint_tenants() TO agent_memory_backup;

-- Name: TABLE nouns; Type: ACL; Schema: public

GRANT SELECT ON TABLE public.nouns TO PUBLIC;
GRANT SELECT ON TABLE public.nouns TO agent_memory_backup;

-- Name: TABLE tenant_clocks; Type: ACL; Schema: public

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.tenant_clocks TO agent_memory_app;
GRANT SELECT,DELETE ON TABLE public.tenant_clocks TO agent_memory_eraser;
GRANT SELECT ON TABLE public.tenant_clocks TO agent_memory_backup;

-- Name: COLUMN tenant_clocks.tenant_id; Type: ACL; Schema: public

GRANT SELECT(tenant_id) ON TABLE public.tenant_clocks TO agent_memory_overseer;

-- Name: COLUMN tenant_clocks.last_seq; Type: ACL; Schema: public

GRANT SELECT(last_seq) ON TABLE public.tenant_clocks TO agent_memory_overseer;

-- Name: FUNCTION let_back_up(p_table regclass); Type: ACL; Schema: public

REVOKE ALL ON FUNCTION public.let_back_up(p_table regclass) FROM PUBLIC;

-- Name: FUNCTION let_erase(p_table regclass); Type: ACL; Schema: public

REVOKE ALL ON FUNCTION public.let_erase(p_table regclass) FROM PUBLIC;

-- Name: FUNCTION let_undo(p_table regclass); Type: ACL; Schema: public

REVOKE ALL ON FUNCTION public.let_undo(p_table regclass) FROM PUBLIC;

-- Name: FUNCTION list_due_jobs(p_per_tenant integer, p_limit integer); Type: ACL; Schema: public

REVOKE ALL ON FUNCTION public.list_due_jobs(p_per_tenant integer, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.list_due_jobs(p_per_tenant integer, p_limit integer) TO agent_memory_app;

-- Name: FUNCTION list_due_webhooks(p_per_tenant integer, p_limit integer); Type: ACL; Schema: public

REVOKE ALL ON FUNCTION public.list_due_webhooks(p_per_tenant integer, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.list_due_webhooks(p_per_tenant integer, p_limit integer) TO agent_memory_app;

-- Name: FUNCTION list_lagging_webhooks(p_tenants text[]); Type: ACL; Schema: public

REVOKE ALL ON FUNCTION public.list_lagging_webhooks(p_tenants text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.list_lagging_webhooks(p_tenants text[]) TO agent_memory_app;

-- Name: TABLE portable_tables; Type: ACL; Schema: public

GRANT SELECT ON TABLE public.portable_tables TO PUBLIC;
GRANT SELECT ON TABLE public.portable_tables TO agent_memory_backup;

-- Name: FUNCTION list_tenants(p_after text, p_limit integer); Type: ACL; Schema: public

REVOKE ALL ON FUNCTION public.list_tenants(p_after text, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.list_tenants(p_after text, p_limit integer) TO agent_memory_app;

-- Name: TABLE erasure_marks; Type: ACL; Schema: public

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.erasure_marks TO agent_memory_app;
GRANT SELECT,DELETE ON TABLE public.erasure_marks TO agent_memory_eraser;
GRANT SELECT ON TABLE public.erasure_marks TO agent_memory_backup;

-- Name: FUNCTION noun(p_noun text, prefix text, part text, keys text[], without text[]); Type: ACL; Schema: public

REVOKE ALL ON FUNCTION public.noun(p_noun text, prefix text, part text, keys text[], without text[]) FROM PUBLIC;

-- Name: FUNCTION pool_chunks(p_scope jsonb, p_terms integer[], p_plan jsonb); Type: ACL; Schema: public

REVOKE ALL ON FUNCTION public.pool_chunks(p_scope jsonb, p_terms integer[], p_plan jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION public.pool_chunks(p_scope jsonb, p_terms integer[], p_plan jsonb) TO agent_memory_app;

-- Name: FUNCTION portable(p_table regclass, part text, keys text[], bound text, weight text); Type: ACL; Schema: public

REVOKE ALL ON FUNCTION public.portable(p_table regclass, part text, keys text[], bound text, weight text) FROM PUBLIC;

-- Name: FUNCTION read_clocks(p_tenants text[]); Type: ACL; Schema: public

REVOKE ALL ON FUNCTION public.read_clocks(p_tenants text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.read_clocks(p_tenants text[]) TO agent_memory_app;

-- Name: TABLE idempotency_keys; Type: ACL; Schema: public

GRANT SELECT,INSERT,DELETE ON TABLE public.idempotency_keys TO agent_memory_app;
GRANT SELECT,DELETE ON TABLE public.idempotency_keys TO agent_memory_eraser;
GRANT SELECT ON TABLE public.idempotency_keys TO agent_memory_backup;

-- Name: COLUMN idempotency_keys.outcome; Type: ACL; Schema: public

GRANT UPDATE(outcome) ON TABLE public.idempotency_keys TO agent_memory_app;

-- Name: FUNCTION rename_event(p_seq bigint, p_parts jsonb); Type: ACL; Schema: public

REVOKE ALL ON FUNCTION public.rename_event(p_seq bigint, p_parts jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION public.rename_event(p_seq bigint, p_parts jsonb) TO agent_memory_app;

-- Name: FUNCTION rename_refs(p_seqs bigint[], p_subject text, p_name text); Type: ACL; Schema: public

REVOKE ALL ON FUNCTION public.rename_refs(p_seqs bigint[], p_subject text, p_name text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.rename_refs(p_seqs bigint[], p_subject text, p_name text) TO agent_memory_app;

-- Name: FUNCTION survey_chunks(p_scope jsonb, p_terms integer[]); Type: ACL; Schema: public

REVOKE ALL ON FUNCTION public.survey_chunks(p_scope jsonb, p_terms integer[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.survey_chunks(p_scope jsonb, p_terms integer[]) TO agent_memory_app;

-- Name: FUNCTION tool_events(p_seqs bigint[], p_last bigint); Type: ACL; Schema: public

REVOKE ALL ON FUNCTION public.tool_events(p_seqs bigint[], p_last bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION public.tool_events(p_seqs bigint[], p_last bigint) TO agent_memory_app;

-- Name: FUNCTION undo_rows(p_ms integer); Type: ACL; Schema: public

REVOKE ALL ON FUNCTION public.undo_rows(p_ms integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.undo_rows(p_ms integer) TO agent_memory_app;

-- Name: FUNCTION wall(p_table regclass, p_rights text); Type: ACL; Schema: public

REVOKE ALL ON FUNCTION public.wall(p_table regclass, p_rights text) FROM PUBLIC;

-- Name: TABLE webhooks; Type: ACL; Schema: public

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.webhooks TO agent_memory_app;
GRANT SELECT,DELETE ON TABLE public.webhooks TO agent_memory_eraser;
GRANT SELECT ON TABLE public.webhooks TO agent_memory_backup;

-- Name: COLUMN webhooks.tenant_id; Type: ACL; Schema: public

GRANT SELECT(tenant_id) ON TABLE public.webhooks TO agent_memory_overseer;

-- Name: COLUMN webhooks.webhook_id; Type: ACL; Schema: public

GRANT SELECT(webhook_id) ON TABLE public.webhooks TO agent_memory_overseer;

-- Name: COLUMN webhooks.active; Type: ACL; Schema: public

GRANT SELECT(active) ON TABLE public.webhooks TO agent_memory_overseer;

-- Name: COLUMN webhooks.cursor; Type: ACL; Schema: public

GRANT SELECT(cursor) ON TABLE public.webhooks TO agent_memory_overseer;

-- Name: COLUMN webhooks.due_at; Type: ACL; Schema: public

GRANT SELECT(due_at) ON TABLE public.webhooks TO agent_memory_overseer;

-- Name: COLUMN webhooks.slow; Type: ACL; Schema: public

GRANT SELECT(slow) ON TABLE public.webhooks TO agent_memory_overseer;

-- Name: COLUMN webhooks.lease_until; Type: ACL; Schema: public

GRANT SELECT(lease_until) ON TABLE public.webhooks TO agent_memory_overseer;

-- Name: TABLE audit_clocks; Type: ACL; Schema: public

GRANT SELECT,INSERT,UPDATE ON TABLE public.audit_clocks TO agent_memory_app;
GRANT SELECT,DELETE ON TABLE public.audit_clocks TO agent_memory_eraser;
GRANT SELECT ON TABLE public.audit_clocks TO agent_memory_backup;

-- Name: TABLE audit_entries; Type: ACL; Schema: public

GRANT SELECT,INSERT ON TABLE public.audit_entries TO agent_memory_app;
GRANT SELECT,DELETE ON TABLE public.audit_entries TO agent_memory_eraser;
GRANT SELECT ON TABLE public.audit_entries TO agent_memory_backup;

-- Name: COLUMN audit_entries.tenant_id; Type: ACL; Schema: public

GRANT SELECT(tenant_id) ON TABLE public.audit_entries TO agent_memory_audit_eraser;

-- Name: COLUMN audit_entries.seq; Type: ACL; Schema: public

GRANT SELECT(seq) ON TABLE public.audit_entries TO agent_memory_audit_eraser;

-- Name: COLUMN audit_entries.action; Type: ACL; Schema: public

GRANT SELECT(action) ON TABLE public.audit_entries TO agent_memory_audit_eraser;

-- Name: COLUMN audit_entries.payload; Type: ACL; Schema: public

GRANT UPDATE(payload) ON TABLE public.audit_entries TO agent_memory_audit_eraser;

-- Name: COLUMN audit_entries.salt; Type: ACL; Schema: public

GRANT UPDATE(salt) ON TABLE public.audit_entries TO agent_memory_audit_eraser;

-- Name: TABLE capsules; Type: ACL; Schema: public

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.capsules TO agent_memory_app;
GRANT SELECT,DELETE ON TABLE public.capsules TO agent_memory_eraser;
GRANT SELECT ON TABLE public.capsules TO agent_memory_backup;

-- Name: TABLE login_failures; Type: ACL; Schema: public

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.login_failures TO agent_memory_app;
GRANT SELECT ON TABLE public.login_failures TO agent_memory_backup;

-- Name: TABLE password_resets; Type: ACL; Schema: public

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.password_resets TO agent_memory_app;
GRANT SELECT,DELETE ON TABLE public.password_resets TO agent_memory_eraser;
GRANT SELECT ON TABLE public.password_resets TO agent_memory_backup;

-- Name: TABLE rate_windows; Type: ACL; Schema: public

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.rate_windows TO agent_memory_app;
GRANT SELECT ON TABLE public.rate_windows TO agent_memory_backup;

-- Name: TABLE refresh_tokens; Type: ACL; Schema: public

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.refresh_tokens TO agent_memory_app;
GRANT SELECT,DELETE ON TABLE public.refresh_tokens TO agent_memory_eraser;
GRANT SELECT ON TABLE public.refresh_tokens TO agent_memory_backup;

-- Name: TABLE retention_policies; Type: ACL; Schema: public

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.retention_policies TO agent_memory_app;
GRANT SELECT,DELETE ON TABLE public.retention_policies TO agent_memory_eraser;
GRANT SELECT ON TABLE public.retention_policies TO agent_memory_backup;

-- Name: TABLE schema_functions; Type: ACL; Schema: public

GRANT SELECT ON TABLE public.schema_functions TO agent_memory_backup;

-- Name: TABLE schema_gone; Type: ACL; Schema: public

GRANT SELECT ON TABLE public.schema_gone TO agent_memory_backup;

-- Name: TABLE schema_migrations; Type: ACL; Schema: public

GRANT SELECT ON TABLE public.schema_migrations TO agent_memory_backup;

-- Name: TABLE sweep_walks; Type: ACL; Schema: public

GRANT SELECT,UPDATE ON TABLE public.sweep_walks TO agent_memory_app;
GRANT SELECT ON TABLE public.sweep_walks TO agent_memory_backup;

-- Name: TABLE webhook_deliveries; Type: ACL; Schema: public

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.webhook_deliveries TO agent_memory_app;
GRANT SELECT,DELETE ON TABLE public.webhook_deliveries TO agent_memory_eraser;
GRANT SELECT ON TABLE public.webhook_deliveries TO agent_memory_backup;
