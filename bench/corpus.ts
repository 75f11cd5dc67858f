// A generator of realistic text: Zipf-distributed words, in eight concurrent sessions of 40 turns each. It runs inside PostgreSQL for speed.
// The most frequent word occurs in 9 % of the passages, the rarest in 2 of a million.

/** Creates the generator in the temporary schema of the session. Run it once per session, before `fillTenant`. */
export const createGenerator = `
  create or replace function pg_temp.word(p_rank int) returns text language sql immutable as $$
    select string_agg(substr('bcdfghjklmnprstvz', 1 + (p_rank / (17 * n)) % 17, 1) || substr('aeiou', 1 + (p_rank / n) % 5, 1), '')
      || substr('bdgkmnprtz', 1 + p_rank % 10, 1)
    from unnest(array[1, 85, 7225]) n $$;
  create temp table if not exists words as
    select i as rank, pg_temp.word(i) as word from generate_series(0, 50000) i;
  create unique index if not exists words_rank on words (rank);
`;

/** Replaces the most frequent words of the generator, from rank 30 on, by these (parameter 1), most frequent first. */
export const replaceWords =
  'update words set word = ($1::text[])[rank - 29] where rank - 29 between 1 and cardinality($1::text[])';

/** Appends passages p_from..p_to (parameters 2 and 3) to tenant 1; parameter 4 is the seed of the words. The caller advances the tenant's seq. */
export const fillTenant = `
  with seeded as materialized (select setseed($4::float8)),
  -- the reference to i makes each row draw its own words
  turn as materialized (
    select i, words.text
    from seeded, generate_series($2::bigint, $3::bigint) i
    cross join lateral (
      select array_to_string(array_agg(floor(30 * power(50000 / 30.0, random() + 0 * i + 0 * n))::int), ' ') as ranks
      from generate_series(1, 8 + (i * 7919 % 25)::int) n
    ) drawn
    cross join lateral (
      select string_agg(w.word, ' ') as text
      from string_to_table(drawn.ranks, ' ') r join words w on w.rank = r::int
    ) words
  ),
  event as materialized (
    select
      i as seq,
      'evt_bench_' || i as event_id,
      's' || (i / 320) * 8 + i % 8 as session_id,
      (array['team', 'team', 'team', 'private', 'team', 'team', 'public', 'private', 'team', 'team'])[1 + i % 10] as channel,
      case when i % 100 = 99 then 'decision' else 'message' end as kind,
      'user' || (i / 320 * 8 + i % 8) % 97 as user_id,
      'p' || (i / 320 * 8 + i % 8) % 20 as project_id,
      text,
      timestamptz '2024-01-01 00:00Z' + i * interval '30 s' as at
    from turn
  ),
  logged as (
    insert into events (
      tenant_id, seq, event_id, session_id, channel, actor_type, actor_id, kind, content, user_id, project_id, sensitivity, chunk_count,
      occurred_at, created_at)
    select
      $1, seq, event_id, session_id, channel, 'human', user_id, kind,
      jsonb_build_object(case kind when 'decision' then 'decision' else 'text' end, text), user_id, project_id, 'none', 1, at, at
    from event
  )
  insert into chunks (
    tenant_id, seq, ordinal, kind, session_id, channel, sensitivity, user_id, project_id, text, header, token_count, terms, occurred_at)
  select
    $1, seq, 0, kind, session_id, channel, 'none', user_id, project_id, case kind when 'decision' then text end, user_id, 30,
    passage_terms('english', text, user_id, at), at
  from event
`;
