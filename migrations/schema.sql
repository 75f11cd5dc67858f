-- What the migrations amount to, for reading: made by `npm run schema`, checked in CI, never run.

-- Name: commit_units(text, jsonb); Type: FUNCTION; Schema: public

CREATE FUNCTION public.commit_units(p_tenant text, p_units jsonb) RETURNS TABLE(status text, outcome jsonb, at timestamp with time zone)
    LANGUAGE plpgsql
    AS $_$
declare
  v_clock tenant_clocks;
  v_language regconfig;
  v_now timestamptz;
  v_keyed boolean := jsonb_path_exists(p_units, '$[*].key ? (@ != null)');
begin
  perform enter_tenant(p_tenant);
  select * into v_clock from tenant_clocks c where c.tenant_id = p_tenant for update;
  if not found then
    raise exception 'no such tenant' using errcode = 'AM404';
  end if;
  select t.language into v_language from tenants t where t.tenant_id = p_tenant;
  v_now := clock_timestamp();

  return query
  with unit as materialized (
    select
      u.ord,
      u.doc,
      decode(u.doc ->> 'key', 'hex') as key_hash,
      decode(u.doc ->> 'body', 'hex') as body_hash,
      (u.doc ->> 'bytes')::bigint as bytes,
      jsonb_array_length(u.doc -> 'events') as n
    from jsonb_array_elements(p_units) with ordinality as u (doc, ord)
  ),
  known as materialized (
    select k.key_hash, k.body_hash, k.outcome, k.created_at
    from idempotency_keys k
    where v_keyed and k.tenant_id = p_tenant and k.key_hash in (select key_hash from unit)
  ),
  -- equal keys that meet inside this batch: the first one writes
  ranked as materialized (
    select
      unit.*,
      known.outcome as known_outcome,
      known.created_at as known_at,
      known.body_hash as known_body,
      case when unit.key_hash is null then unit.ord else first_value(unit.ord) over (partition by unit.key_hash order by unit.ord) end as leader
    from unit left join known on known.key_hash = unit.key_hash
  ),
  sized as materialized (
    select *, sum(bytes) filter (where known_outcome is null and leader = ord) over (order by ord) as upto
    from ranked
  ),
  judged as materialized (
    select
      *,
      known_outcome is null and leader = ord and (v_clock.max_bytes is null or v_clock.stored_bytes + upto <= v_clock.max_bytes) as fresh
    from sized
  ),
  placed as materialized (
    select *, v_clock.last_seq + sum(case when fresh then n else 0 end) over (order by ord) - n + 1 as seq
    from judged
  ),
  event as materialized (
    select
      p.seq + e.ord - 1 as seq, e.doc, jsonb_array_length(e.doc -> 'chunks') as chunk_count, r.*
    from placed p
    cross join lateral jsonb_array_elements(p.doc -> 'events') with ordinality as e (doc, ord)
    cross join lateral jsonb_to_record(e.doc) as r (
      event_id text, session_id text, channel text, actor_type text, actor_id text, kind text, content jsonb,
      user_id text, agent_id text, project_id text, sensitivity text, tags text[], refs text[], metadata jsonb,
      artifact_id text, occurred_at timestamptz)
    where p.fresh
  ),
  written as (
    insert into events (
      tenant_id, seq, event_id, session_id, channel, actor_type, actor_id, kind, content, user_id, agent_id, project_id,
      sensitivity, tags, refs, metadata, artifact_id, chunk_count, occurred_at, created_at)
    select
      p_tenant, e.seq, e.event_id, e.session_id, e.channel, e.actor_type, e.actor_id, e.kind, e.content, e.user_id, e.agent_id,
      e.project_id, e.sensitivity, e.tags, e.refs, e.metadata, e.artifact_id, e.chunk_count, coalesce(e.occurred_at, v_now), v_now
    from event e
  ),
  indexed as (
    insert into chunks (
      tenant_id, seq, ordinal, event_id, kind, session_id, channel, sensitivity, user_id, agent_id, project_id,
      text, header, token_count, tsv, occurred_at)
    select
      p_tenant, e.seq, c.ord - 1, e.event_id, e.kind, e.session_id, e.channel, e.sensitivity, e.user_id, e.agent_id, e.project_id,
      c.doc ->> 'text', c.doc ->> 'header', (c.doc ->> 'token_count')::int,
      passage_vector(v_language, c.doc ->> 'text', c.doc ->> 'header'), coalesce(e.occurred_at, v_now)
    from event e
    cross join lateral jsonb_array_elements(e.doc -> 'chunks') with ordinality as c (doc, ord)
  ),
  linked as (
    update artifacts a set event_id = e.event_id
    from event e
    where a.tenant_id = p_tenant and a.artifact_id = e.artifact_id and a.event_id is null
  ),
  remembered as (
    insert into idempotency_keys (tenant_id, key_hash, body_hash, outcome, created_at)
    select p_tenant, p.key_hash, p.body_hash, jsonb_build_object('seq', p.seq, 'count', p.n), v_now
    from placed p
    where p.fresh and p.key_hash is not null
  ),
  ticked as (
    update tenant_clocks c
    set
      last_seq = c.last_seq + s.n,
      event_count = c.event_count + s.n,
      stored_bytes = c.stored_bytes + s.bytes
    from (select coalesce(sum(n), 0) as n, coalesce(sum(bytes), 0) as bytes from placed where fresh) s
    where c.tenant_id = p_tenant and s.n > 0
  )
  select
    case
      when p.fresh then 'new'
      when p.known_outcome is not null then case when p.known_body = p.body_hash then 'replay' else 'conflict' end
      when p.leader = p.ord then 'quota'
      when lead.body_hash <> p.body_hash then 'conflict'
      when lead.fresh then 'replay'
      else 'quota'
    end,
    coalesce(p.known_outcome, jsonb_build_object('seq', lead.seq, 'count', lead.n)),
    coalesce(p.known_at, v_now)
  from placed p join placed lead on lead.ord = p.leader
  order by p.ord;
end $_$;

-- Name: current_tenant(); Type: FUNCTION; Schema: public

CREATE FUNCTION public.current_tenant() RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ select nullif(current_setting('app.tenant_id', true), '') $$;

-- Name: enter_tenant(text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.enter_tenant(p_tenant text) RETURNS void
    LANGUAGE sql
    AS $$ select set_config('role', 'agent_memory_app', true), set_config('app.tenant_id', p_tenant, true) $$;

-- Name: list_tenants(text, integer); Type: FUNCTION; Schema: public

CREATE FUNCTION public.list_tenants(p_after text, p_limit integer) RETURNS TABLE(tenant_id text, state text)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public'
    AS $$ select t.tenant_id, t.state from public.tenants t where t.tenant_id > p_after order by t.tenant_id limit p_limit $$;

ALTER FUNCTION public.list_tenants(p_after text, p_limit integer) OWNER TO agent_memory_overseer;

-- Name: passage_vector(regconfig, text, text); Type: FUNCTION; Schema: public

CREATE FUNCTION public.passage_vector(p_language regconfig, p_text text, p_header text) RETURNS tsvector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ select setweight(to_tsvector(p_language, p_text), 'A') || setweight(to_tsvector(p_language, p_header), 'D') $$;

-- Name: read_clocks(text[]); Type: FUNCTION; Schema: public

CREATE FUNCTION public.read_clocks(p_tenants text[]) RETURNS TABLE(tenant_id text, last_seq bigint)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public'
    AS $$ select c.tenant_id, c.last_seq from public.tenant_clocks c where c.tenant_id = any (p_tenants) $$;

ALTER FUNCTION public.read_clocks(p_tenants text[]) OWNER TO agent_memory_overseer;

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
    user_id text NOT NULL,
    agent_id text,
    project_id text,
    sensitivity text NOT NULL,
    tags text[] DEFAULT '{}'::text[] NOT NULL,
    refs text[] DEFAULT '{}'::text[] NOT NULL,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    artifact_id text,
    chunk_count smallint DEFAULT 0 NOT NULL,
    occurred_at timestamp with time zone NOT NULL,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT events__channel CHECK ((channel = ANY (ARRAY['private'::text, 'public'::text, 'team'::text, 'agent'::text]))),
    CONSTRAINT events__sensitivity CHECK ((sensitivity = ANY (ARRAY['none'::text, 'low'::text, 'high'::text, 'secret'::text])))
);

ALTER TABLE ONLY public.events FORCE ROW LEVEL SECURITY;

-- Name: read_event(text, text, text[], text[], text[]); Type: FUNCTION; Schema: public

CREATE FUNCTION public.read_event(p_tenant text, p_event_id text, p_channels text[], p_subjects text[], p_sensitivities text[]) RETURNS SETOF public.events
    LANGUAGE plpgsql
    AS $$
begin
  perform enter_tenant(p_tenant);
  return query
  select e.*
  from events e
  where e.tenant_id = p_tenant
  and e.event_id = p_event_id
  and e.channel = any (p_channels)
  and (e.channel <> 'private' or p_subjects is null or e.user_id = any (p_subjects))
  and e.sensitivity = any (p_sensitivities);
end $$;

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
end $$;

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
    user_id text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);
ALTER TABLE ONLY public.artifacts ALTER COLUMN bytes SET STORAGE EXTERNAL;

ALTER TABLE ONLY public.artifacts FORCE ROW LEVEL SECURITY;

-- Name: chunks; Type: TABLE; Schema: public

CREATE TABLE public.chunks (
    tenant_id text NOT NULL,
    seq bigint NOT NULL,
    ordinal smallint NOT NULL,
    event_id text NOT NULL,
    kind text NOT NULL,
    session_id text NOT NULL,
    channel text NOT NULL,
    sensitivity text NOT NULL,
    user_id text NOT NULL,
    agent_id text,
    project_id text,
    text text NOT NULL,
    header text NOT NULL,
    token_count integer NOT NULL,
    tsv tsvector NOT NULL,
    occurred_at timestamp with time zone NOT NULL
);

ALTER TABLE ONLY public.chunks FORCE ROW LEVEL SECURITY;

-- Name: idempotency_keys; Type: TABLE; Schema: public

CREATE TABLE public.idempotency_keys (
    tenant_id text NOT NULL,
    key_hash bytea NOT NULL,
    body_hash bytea NOT NULL,
    outcome jsonb NOT NULL,
    created_at timestamp with time zone NOT NULL
);

ALTER TABLE ONLY public.idempotency_keys FORCE ROW LEVEL SECURITY;

-- Name: schema_migrations; Type: TABLE; Schema: public

CREATE TABLE public.schema_migrations (
    version integer NOT NULL,
    name text NOT NULL,
    hash text NOT NULL,
    min_code integer NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);

-- Name: tenant_clocks; Type: TABLE; Schema: public

CREATE TABLE public.tenant_clocks (
    tenant_id text NOT NULL,
    last_seq bigint DEFAULT 0 NOT NULL,
    oldest_seq bigint DEFAULT 1 NOT NULL,
    event_count bigint DEFAULT 0 NOT NULL,
    stored_bytes bigint DEFAULT 0 NOT NULL,
    max_bytes bigint
)
WITH (fillfactor='50');

ALTER TABLE ONLY public.tenant_clocks FORCE ROW LEVEL SECURITY;

-- Name: tenants; Type: TABLE; Schema: public

CREATE TABLE public.tenants (
    tenant_id text NOT NULL,
    state text DEFAULT 'active'::text NOT NULL,
    language regconfig DEFAULT 'english'::regconfig NOT NULL,
    settings jsonb DEFAULT '{}'::jsonb NOT NULL,
    version bigint DEFAULT 1 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT tenants__state CHECK ((state = ANY (ARRAY['active'::text, 'suspended'::text, 'deleting'::text]))),
    CONSTRAINT tenants__tenant_id CHECK ((tenant_id ~ '^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$'::text))
);

ALTER TABLE ONLY public.tenants FORCE ROW LEVEL SECURITY;

-- Name: artifacts artifacts_pkey; Type: CONSTRAINT; Schema: public

ALTER TABLE ONLY public.artifacts
    ADD CONSTRAINT artifacts_pkey PRIMARY KEY (tenant_id, artifact_id);

-- Name: chunks chunks_pkey; Type: CONSTRAINT; Schema: public

ALTER TABLE ONLY public.chunks
    ADD CONSTRAINT chunks_pkey PRIMARY KEY (tenant_id, seq, ordinal);

-- Name: events events_pkey; Type: CONSTRAINT; Schema: public

ALTER TABLE ONLY public.events
    ADD CONSTRAINT events_pkey PRIMARY KEY (tenant_id, seq);

-- Name: idempotency_keys idempotency_keys_pkey; Type: CONSTRAINT; Schema: public

ALTER TABLE ONLY public.idempotency_keys
    ADD CONSTRAINT idempotency_keys_pkey PRIMARY KEY (tenant_id, key_hash);

-- Name: schema_migrations schema_migrations_pkey; Type: CONSTRAINT; Schema: public

ALTER TABLE ONLY public.schema_migrations
    ADD CONSTRAINT schema_migrations_pkey PRIMARY KEY (version);

-- Name: tenant_clocks tenant_clocks_pkey; Type: CONSTRAINT; Schema: public

ALTER TABLE ONLY public.tenant_clocks
    ADD CONSTRAINT tenant_clocks_pkey PRIMARY KEY (tenant_id);

-- Name: tenants tenants_pkey; Type: CONSTRAINT; Schema: public

ALTER TABLE ONLY public.tenants
    ADD CONSTRAINT tenants_pkey PRIMARY KEY (tenant_id);

-- Name: artifacts__unlinked; Type: INDEX; Schema: public

CREATE INDEX artifacts__unlinked ON public.artifacts USING btree (tenant_id, created_at) WHERE (event_id IS NULL);

-- Name: events__event_id; Type: INDEX; Schema: public

CREATE UNIQUE INDEX events__event_id ON public.events USING btree (tenant_id, event_id);

-- Name: events__ledger; Type: INDEX; Schema: public

CREATE INDEX events__ledger ON public.events USING btree (tenant_id, kind, seq) WHERE (kind = ANY (ARRAY['decision'::text, 'task_update'::text]));

-- Name: events__project; Type: INDEX; Schema: public

CREATE INDEX events__project ON public.events USING btree (tenant_id, project_id, seq) WHERE (project_id IS NOT NULL);

-- Name: events__session; Type: INDEX; Schema: public

CREATE INDEX events__session ON public.events USING btree (tenant_id, session_id, seq);

-- Name: idempotency_keys__created_at; Type: INDEX; Schema: public

CREATE INDEX idempotency_keys__created_at ON public.idempotency_keys USING brin (created_at);

-- Name: tenants__lower_tenant_id; Type: INDEX; Schema: public

CREATE UNIQUE INDEX tenants__lower_tenant_id ON public.tenants USING btree (lower(tenant_id));

-- Name: artifacts artifacts__tenant; Type: FK CONSTRAINT; Schema: public

ALTER TABLE ONLY public.artifacts
    ADD CONSTRAINT artifacts__tenant FOREIGN KEY (tenant_id) REFERENCES public.tenants(tenant_id) ON DELETE CASCADE;

-- Name: chunks chunks__tenant; Type: FK CONSTRAINT; Schema: public

ALTER TABLE ONLY public.chunks
    ADD CONSTRAINT chunks__tenant FOREIGN KEY (tenant_id) REFERENCES public.tenants(tenant_id) ON DELETE CASCADE;

-- Name: events events__tenant; Type: FK CONSTRAINT; Schema: public

ALTER TABLE ONLY public.events
    ADD CONSTRAINT events__tenant FOREIGN KEY (tenant_id) REFERENCES public.tenants(tenant_id) ON DELETE CASCADE;

-- Name: idempotency_keys idempotency_keys__tenant; Type: FK CONSTRAINT; Schema: public

ALTER TABLE ONLY public.idempotency_keys
    ADD CONSTRAINT idempotency_keys__tenant FOREIGN KEY (tenant_id) REFERENCES public.tenants(tenant_id) ON DELETE CASCADE;

-- Name: tenant_clocks tenant_clocks__tenant; Type: FK CONSTRAINT; Schema: public

ALTER TABLE ONLY public.tenant_clocks
    ADD CONSTRAINT tenant_clocks__tenant FOREIGN KEY (tenant_id) REFERENCES public.tenants(tenant_id) ON DELETE CASCADE;

-- Name: artifacts; Type: ROW SECURITY; Schema: public

ALTER TABLE public.artifacts ENABLE ROW LEVEL SECURITY;

-- Name: chunks; Type: ROW SECURITY; Schema: public

ALTER TABLE public.chunks ENABLE ROW LEVEL SECURITY;

-- Name: events; Type: ROW SECURITY; Schema: public

ALTER TABLE public.events ENABLE ROW LEVEL SECURITY;

-- Name: idempotency_keys; Type: ROW SECURITY; Schema: public

ALTER TABLE public.idempotency_keys ENABLE ROW LEVEL SECURITY;

-- Name: tenant_clocks overseer_reads; Type: POLICY; Schema: public

CREATE POLICY overseer_reads ON public.tenant_clocks FOR SELECT TO agent_memory_overseer USING (true);

-- Name: tenants overseer_reads; Type: POLICY; Schema: public

CREATE POLICY overseer_reads ON public.tenants FOR SELECT TO agent_memory_overseer USING (true);

-- Name: tenant_clocks; Type: ROW SECURITY; Schema: public

ALTER TABLE public.tenant_clocks ENABLE ROW LEVEL SECURITY;

-- Name: artifacts tenant_wall; Type: POLICY; Schema: public

CREATE POLICY tenant_wall ON public.artifacts TO agent_memory_app USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

-- Name: chunks tenant_wall; Type: POLICY; Schema: public

CREATE POLICY tenant_wall ON public.chunks TO agent_memory_app USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

-- Name: events tenant_wall; Type: POLICY; Schema: public

CREATE POLICY tenant_wall ON public.events TO agent_memory_app USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

-- Name: idempotency_keys tenant_wall; Type: POLICY; Schema: public

CREATE POLICY tenant_wall ON public.idempotency_keys TO agent_memory_app USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

-- Name: tenant_clocks tenant_wall; Type: POLICY; Schema: public

CREATE POLICY tenant_wall ON public.tenant_clocks TO agent_memory_app USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

-- Name: tenants tenant_wall; Type: POLICY; Schema: public

CREATE POLICY tenant_wall ON public.tenants TO agent_memory_app USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

-- Name: tenants; Type: ROW SECURITY; Schema: public

ALTER TABLE public.tenants ENABLE ROW LEVEL SECURITY;

-- Name: SCHEMA public; Type: ACL; Schema: -

GRANT USAGE ON SCHEMA public TO agent_memory_app;
GRANT USAGE ON SCHEMA public TO agent_memory_searcher;
GRANT USAGE ON SCHEMA public TO agent_memory_overseer;

-- Name: TABLE events; Type: ACL; Schema: public

GRANT SELECT,INSERT ON TABLE public.events TO agent_memory_app;

-- Name: FUNCTION wall(p_table regclass, p_rights text); Type: ACL; Schema: public

REVOKE ALL ON FUNCTION public.wall(p_table regclass, p_rights text) FROM PUBLIC;

-- Name: TABLE artifacts; Type: ACL; Schema: public

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.artifacts TO agent_memory_app;

-- Name: TABLE chunks; Type: ACL; Schema: public

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.chunks TO agent_memory_app;

-- Name: TABLE idempotency_keys; Type: ACL; Schema: public

GRANT SELECT,INSERT,DELETE ON TABLE public.idempotency_keys TO agent_memory_app;

-- Name: TABLE tenant_clocks; Type: ACL; Schema: public

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.tenant_clocks TO agent_memory_app;

-- Name: COLUMN tenant_clocks.tenant_id; Type: ACL; Schema: public

GRANT SELECT(tenant_id) ON TABLE public.tenant_clocks TO agent_memory_overseer;

-- Name: COLUMN tenant_clocks.last_seq; Type: ACL; Schema: public

GRANT SELECT(last_seq) ON TABLE public.tenant_clocks TO agent_memory_overseer;

-- Name: TABLE tenants; Type: ACL; Schema: public

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.tenants TO agent_memory_app;

-- Name: COLUMN tenants.tenant_id; Type: ACL; Schema: public

GRANT SELECT(tenant_id) ON TABLE public.tenants TO agent_memory_overseer;

-- Name: COLUMN tenants.state; Type: ACL; Schema: public

GRANT SELECT(state) ON TABLE public.tenants TO agent_memory_overseer;
