-- Records an attempt, the position in the log and the extension of the lease in one statement. p_delivery is null if no event was sent, because
-- none up to p_cursor matched; its `tries` is 0 if no attempt could be made. Returns false and writes nothing if another daemon has the lease.
create or replace function settle_webhook(
  p_tenant text, p_webhook_id text, p_lease_id bigint, p_lease_ms int, p_cursor bigint, p_retry_ms float8, p_delivery jsonb, p_disable text)
returns boolean
language plpgsql
as $$
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
    select p_tenant, p_webhook_id, r.seq, r.event_id, r.kind, r.state, coalesce(r.tries, 1), r.status_code, r.error, r.duration_ms, clock_timestamp()
    from jsonb_to_record(p_delivery) as r (
      seq bigint, event_id text, kind text, state text, tries int, status_code int, error text, duration_ms int)
    on conflict (tenant_id, webhook_id, seq) do update
    set
      state = excluded.state, attempts = d.attempts + excluded.attempts, status_code = excluded.status_code, error = excluded.error,
      duration_ms = excluded.duration_ms, attempted_at = excluded.attempted_at;
  end if;
  return true;
end $$;

-- Ends a turn and sets when the next one is due. Events committed meanwhile are marked by the daemon that wrote them, and by this one.
create or replace function release_webhook(p_tenant text, p_webhook_id text, p_lease_id bigint, p_slow boolean) returns void
language plpgsql
as $$
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

-- Returns the tenants with webhooks, and for each the webhooks whose log has grown (null: none). p_tenants null: all tenants.
create or replace function list_lagging_webhooks(p_tenants text[]) returns table (tenant_id text, grown text[])
language plpgsql stable security definer set search_path = pg_catalog, public, pg_temp set plan_cache_mode = force_custom_plan
as $$
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
revoke execute on function list_lagging_webhooks(text[]) from public;
grant execute on function list_lagging_webhooks(text[]) to agent_memory_app;
alter function list_lagging_webhooks(text[]) owner to agent_memory_overseer;

-- Marks these webhooks as due and returns the tenants that have webhooks. Skips locked rows: they are being delivered or marked, and two
-- daemons that waited for each other's rows would deadlock.
create or replace function mark_due_webhooks(p_tenants text[]) returns setof text
language plpgsql
as $$
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

-- Returns due webhooks without a lease, those that have waited longest first, at most p_per_tenant of a tenant. Webhooks with slow receivers are
-- read separately, so that they cannot hide the others. Reads only the beginning of an index, however many tenants there are.
create or replace function list_due_webhooks(p_per_tenant int, p_limit int) returns table (tenant_id text, webhook_id text, slow boolean)
language sql stable security definer set search_path = pg_catalog, public, pg_temp
as $$
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
revoke execute on function list_due_webhooks(int, int) from public;
grant execute on function list_due_webhooks(int, int) to agent_memory_app;
alter function list_due_webhooks(int, int) owner to agent_memory_overseer;

-- Deletes the deliveries of events whose content is erased, trimmed or forgotten by a retention rule.
create or replace function webhooks_clear(p_tenant text, p_seqs bigint[], p_dry boolean) returns jsonb
language plpgsql
as $$
declare
  v_count bigint;
begin
  -- one scan for all: no index starts with the seq
  if p_dry then
    select count(*) into v_count from webhook_deliveries d where d.tenant_id = p_tenant and d.seq = any (p_seqs);
  else
    delete from webhook_deliveries d where d.tenant_id = p_tenant and d.seq = any (p_seqs);
    get diagnostics v_count = row_count;
  end if;
  return jsonb_build_object('webhook_deliveries', v_count);
end $$;

-- Erases a subject: deletes webhooks whose filter names it (without the filter they would send more), and removes its name from the others.
create or replace function webhooks_forget(p_tenant text, p_job text, p_erasure jsonb, p_after text, p_limit int)
returns table (last text, counts jsonb)
language plpgsql
as $$
declare
  v_kind text := p_erasure ->> 'kind';
  v_subject text := p_erasure ->> 'subject';
  v_users text[] := array(select jsonb_array_elements_text(p_erasure -> 'users'));
  -- other fields can have equal values, such as a kind or a tag
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
end $$;

-- Returns the first event that a webhook has yet to deliver; a trim keeps the log from there. Events up to p_floor are not waited for, so that
-- a receiver that never catches up cannot hold the log indefinitely.
create or replace function webhooks_awaits(p_tenant text, p_floor bigint) returns jsonb
language sql stable
begin atomic
  select jsonb_build_object('reason', 'webhook', 'seq', greatest(w.cursor, p_floor) + 1, 'webhook_id', w.webhook_id)
  from webhooks w
  where w.tenant_id = p_tenant and w.active
  order by w.cursor
  limit 1;
end;
