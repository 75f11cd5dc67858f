-- Returns the text of a content that has its text in one field.
create or replace function event_text(p_content jsonb) returns text
language sql immutable parallel safe
return coalesce(p_content ->> 'text', p_content ->> 'excerpt_text');

-- Returns the hash that stands for a lexeme in the index of passages. In a vocabulary of 10⁵ words, a query term has the same hash as another word
-- once in 40,000 cases.
create or replace function term_key(p_lexeme text) returns int
language sql immutable parallel safe
return hashtext(p_lexeme);

-- Scripts that are written without spaces between words: Thai, Lao, Myanmar, Khmer, Kana, Han and Hangul, as a class of a regular expression.
create or replace function unspaced_scripts() returns text
language sql immutable parallel safe
return '[\u0e01-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003134f]+';

-- Returns the characters and the overlapping pairs of characters in each run of unspaced script. On 160 Chinese questions, recall@10 was 50 %
-- with pairs alone, 48 % with characters alone and 55 % with both.
create or replace function unspaced_terms(p_text text) returns text[]
language sql immutable parallel safe
return array(
  select distinct t.term
  from regexp_matches(p_text, unspaced_scripts(), 'g') run (parts)
  cross join lateral (
    select c.character, c.character || lead(c.character) over (order by c.position) as pair
    from string_to_table(run.parts[1], null) with ordinality c (character, position)
  ) c
  cross join lateral (values (c.pair), (c.character)) t (term)
  where t.term is not null);

-- Removes accents, and spells out the letters that are not a letter with an accent: `cafe` finds `café`, `strasse` finds `Straße`.
create or replace function fold_accents(p_text text) returns text
language sql immutable parallel safe
return translate(
  replace(replace(replace(replace(replace(
    regexp_replace(normalize(p_text, nfkd), '[\u0300-\u036f]', '', 'g'), 'ß', 'ss'), 'æ', 'ae'), 'Æ', 'AE'), 'œ', 'oe'), 'Œ', 'OE'),
  'øØđĐłŁðÐıħĦ', 'oOdDlLdDihH');

-- Returns the text search configuration that stems the words of a script other than Latin; null if no letter of such a script occurs.
create or replace function script_language(p_text text) returns regconfig
language sql immutable parallel safe
return case
  when p_text !~ '[\u0370-\u03ff\u0400-\u04ff\u0530-\u058f\u0600-\u06ff\u0900-\u097f\u0b80-\u0bff]' then null
  when p_text ~ '[\u0400-\u04ff]' then 'pg_catalog.russian'::regconfig
  when p_text ~ '[\u0600-\u06ff]' then 'pg_catalog.arabic'::regconfig
  when p_text ~ '[\u0370-\u03ff]' then 'pg_catalog.greek'::regconfig
  when p_text ~ '[\u0900-\u097f]' then 'pg_catalog.hindi'::regconfig
  when p_text ~ '[\u0b80-\u0bff]' then 'pg_catalog.tamil'::regconfig
  else 'pg_catalog.armenian'::regconfig end;

-- A regular expression that matches in a text with identifiers: a separator before a letter or digit, a capital within a word, letters and digits
-- of a hash.
create or replace function name_mark() returns text
language sql immutable parallel safe
return '(?:[./\\:_@#][[:alnum:]]|[a-z0-9][A-Z]|[A-Z][A-Z][a-z][a-z]|[0-9][a-f]|[a-f][0-9]|-[0-9]|[0-9]-)';

-- Returns the first 64 identifiers of a text, each without the punctuation around it and of at most 256 characters.
create or replace function names_in(p_text text) returns text[]
language sql immutable parallel safe
return array(
  select left(btrim(translate(m.parts[1], '\', '/'), './:-?&=%~+'), 256)
  from regexp_matches(p_text, '[[:alnum:]_./\\:@#?&=%~+-]*' || name_mark() || '[[:alnum:]_./\\:@#?&=%~+-]*', 'g') m (parts)
  limit 64);

-- Returns the terms of an identifier that are indexed as they are, in lower case: the identifier, the last one to eight segments of a path without its
-- line number, up to 32 segments, a version without `v`, and the first 7 characters of a hash.
create or replace function name_terms(p_name text) returns text[]
language plpgsql immutable parallel safe
as $$
declare
  v_name text := lower(p_name);
  v_terms text[] := array[v_name];
  v_path text[];
begin
  if v_name ~ '[/:@#?&=%~+]' then
    v_path := string_to_array(regexp_replace(v_name, '^[a-z][a-z0-9+.-]*://|[?#].*$|(:[0-9]+)+$', '', 'g'), '/');
    for i in greatest(1, cardinality(v_path) - 7)..cardinality(v_path) loop
      v_terms := v_terms || array_to_string(v_path[i:], '/');
    end loop;
    v_terms := v_terms || (regexp_split_to_array(v_name, '[/:@#?&=%~+]+'))[:32] || coalesce(substring(v_name from '.(#[^/?#]+)$'), '');
  end if;
  if v_name ~ '[0-9]' then
    v_terms := v_terms || array(
      select coalesce(
        substring(t from '^v([0-9][^/]*)$'), substring(t from '^(?=[0-9a-f]*[0-9])(?=[0-9]*[a-f])([0-9a-f]{7})[0-9a-f]*(?:-|$)'), '')
      from unnest(v_terms) t);
  end if;
  return v_terms;
end $$;

-- Returns the words of an identifier, separated by spaces: `readFileSync` has `read File Sync`. A number or an address of digits and dots has none.
create or replace function name_words(p_name text) returns text
language sql immutable parallel safe
return case when p_name ~ '[[:alpha:]-]' then
  regexp_replace(
    regexp_replace(regexp_replace(p_name, '([a-z0-9])([A-Z])', '\1 \2', 'g'), '([A-Z])([A-Z][a-z][a-z])', '\1 \2', 'g'),
    '[^[:alnum:]]+([[:alnum:]](?![[:alnum:]]))?', ' ', 'g')
  else '' end;

-- Returns the stems of a text's words and of the words of its identifiers, and at most 256 terms of identifiers as they are.
create or replace function named_lexemes(p_language regconfig, p_text text) returns tsvector
language plpgsql immutable parallel safe
as $$
declare
  v_name text;
  v_words text := '';
  v_terms text[] := '{}';
begin
  foreach v_name in array names_in(p_text) loop
    exit when cardinality(v_terms) >= 256;
    v_terms := v_terms || name_terms(v_name);
    v_words := v_words || ' ' || name_words(v_name);
  end loop;
  return to_tsvector(p_language, p_text || v_words) || array_to_tsvector(array_remove(v_terms[:256], ''));
end $$;

-- Returns the emoji of a text, without skin tones; a flag is a pair of letters.
create or replace function emoji_terms(p_text text) returns text[]
language sql immutable parallel safe
return array(
  select distinct m.parts[1]
  from regexp_matches(
    p_text, '[\U0001f1e6-\U0001f1ff]{2}|[\u203c\u2049\u2600-\u27bf\u2b50\u2b55\U0001f300-\U0001f3fa\U0001f400-\U0001faff]', 'g') m (parts));

-- Returns frequent function words of the languages in Latin script that PostgreSQL stems, from its lists of stop words. A word that several languages
-- use is in the list of each, so that it does not tell them apart.
create or replace function language_words() returns jsonb
language sql immutable parallel safe
return jsonb_build_object(
  'danish', 'og i at det er en den til på som med de for ikke der var han hun jeg et har om vi min havde ham nu over da fra du ud sin dem os ' ||
    'op man hvad være meget hvor eller efter blev kan skal mig dig hvis når også af æ ø å',
  'dutch', 'de en van ik te dat die in een hij het niet zijn is was op aan met als voor had er maar om hem dan zou of wat mijn men dit zo ' ||
    'door over ze zich bij ook tot je mij uit der daar haar naar heb hoe heeft hebben deze u nog zal nu geen omdat iets worden al wij ' ||
    'wel waar we hier kan ë',
  'english', 'the and of to in is that it for was with on as you he she they this have from but not are we be at by what all when your can ' ||
    'there an or which their would my me i a his her do did had has will who how so if our us them been were about does where why ' ||
    'could should am also man men over come some son sin no die hat even up out more than then into him war door here ten per fan ham ' ||
    'let',
  'finnish', 'ja on se ei että oli hän minä mutta kun joka ovat sen ne mitä niin olen ole tämä nyt jos kuin myös sitä sinä meidän vain minun ' ||
    'minulla hänen olemme voi mikä missä jo siitä tai sekä olla tässä me he te ä ö',
  'french', 'le la les de des du un une et est à en que qui dans pour pas sur avec ce il elle je ne se plus au par sont nous vous mais on ' ||
    'cette son sa mon ma tu où ou aux ces leur été être avons ont j qu a était très comme é è ê ç œ',
  'german', 'der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch es an aus er hat dass sie nach wird bei ' ||
    'einer um am sind noch wie einem über so zum war haben nur oder aber vor zur bis mehr durch man ich wir du mir mich wo was wann ' ||
    'warum wenn kann einen wurde ä ö ü ß meine ihr ihre uns euch kein keine',
  'hungarian', 'a az és hogy nem is egy ez de van meg csak már mint ha volt vagy azt még ki el mi fel be itt én ezt most lehet nagyon kell ' ||
    'minden mert hol mikor ott lesz akkor vannak voltak sem á é í ó ö ő ü ű',
  'italian', 'di e il la che in un a per è una sono non si con da del le i lo dei della al come più gli ma anche nel se ha io questo alla o ho ' ||
    'mi ci ti delle era suo sua mio mia dove quando hai nella ai perché cosa molto abbiamo hanno à ò ù',
  'norwegian', 'og i det er på som en at for av til med de ikke jeg den han et var har om vi fra men hun du seg så ut eller når kan skal nå blir ' ||
    'ble være hva bare etter min sin dem meg deg også hvor hvis over der æ ø å',
  'portuguese', 'de a o que e do da em um para é com não uma os no se na por mais as dos como mas foi ao ele das tem à seu sua ou ser quando ' ||
    'muito há nos já está eu também só pelo pela até isso ela entre era depois sem mesmo aos ter seus quem nas me esse eles você onde ' ||
    'nós meu minha á í ó ã õ ç',
  'spanish', 'de la que el en y a los del se las por un para con no una su al lo como más pero sus le ya o este sí porque esta entre cuando ' ||
    'muy sin sobre también me hasta hay donde quien desde todo nos durante todos uno les ni contra otros ese eso ante ellos es está ' ||
    'son yo mi tu dónde fue á é í ó ú ñ ¿ ¡',
  'swedish', 'och det att i en jag hon som han på den med var sig för så till är men ett om hade de av icke mig du henne då sin nu har inte ' ||
    'hans honom skulle hennes där min man ej vid kunde något från ut när efter upp vi dem vara vad över än dig kan sina här eller ' ||
    'också ska å ä ö',
  'turkish', 'bir ve bu da de için ile çok ne mi o ben daha gibi ama var kadar sonra olarak en her değil diye şey ki sen biz ise mu hiç nasıl ' ||
    'neden yok olan oldu veya ı ğ ş ç ö ü');

-- Returns, by language, a regular expression for the words that are in its list alone; and by word, the languages.
create or replace function language_marks() returns jsonb
language sql immutable parallel safe
return (
  with words as (
    select l.language, w.word, count(*) over (partition by w.word) as languages
    from jsonb_each_text(language_words()) l (language, list)
    cross join string_to_table(l.list, ' ') w (word)
  )
  select jsonb_build_object(
    'marks', (
      select jsonb_object_agg(m.language, m.mark)
      from (select w.language, '\m(?:' || string_agg(w.word, '|') || ')\M' as mark from words w where w.languages = 1 group by w.language) m),
    'languages', (
      select jsonb_object_agg(l.word, l.languages)
      from (select w.word, jsonb_agg(w.language) as languages from words w group by w.word) l)));

-- Returns the language of a text in Latin script if it is not the tenant's: the one of which the most function words and accented letters occur, at
-- least two, and more than of any other. Null otherwise, and for a tenant's language without a list, such as simple. Examines the last 400
-- characters. Usually a word that only the tenant's language has decides at once.
create or replace function other_language(p_language regconfig, p_text text) returns regconfig
language plpgsql immutable parallel safe
as $$
declare
  v_text text := right(p_text, 400);
  v_mark text := language_marks() -> 'marks' ->> p_language::text;
  v_language text;
begin
  if v_mark is null or v_text ~ v_mark then
    return null;
  end if;
  select case when count(*) = 1 then max(b.language) end
  into v_language
  from (
    select l.language, rank() over (order by count(*) desc) as place, count(*) as words
    from (
      select regexp_split_to_table(lower(v_text), '[^[:alpha:]]+')
      union all
      select distinct string_to_table(regexp_replace(lower(v_text), '[\x01-\x7f]+', '', 'g'), null)
    ) w (word)
    cross join lateral jsonb_array_elements_text(language_marks() -> 'languages' -> w.word) l (language)
    group by l.language
  ) b
  where b.place = 1 and b.words >= 2;
  return case when v_language <> p_language::text then ('pg_catalog.' || v_language)::regconfig end;
end $$;

-- Adds the stems of a text's words in another language than the tenant's to its lexemes, without the function words of that language.
create or replace function add_language(p_lexemes tsvector, p_language regconfig, p_text text) returns tsvector
language sql immutable parallel safe
return ts_delete(p_lexemes, coalesce(string_to_array(language_words() ->> p_language::text, ' '), '{}')) || to_tsvector(p_language, p_text);

-- Returns the lexemes of a text in any language, for passages and queries alike: the stems of its words by the tenant's language and by the
-- language of their script or of the text, the same without accents (a passage with the accent as in the query matches both and ranks first), the terms of
-- unspaced scripts, emoji, and identifiers with their parts. A script that meets another ends a word: `認証はOAuth2` has `OAuth2`.
create or replace function text_lexemes(p_language regconfig, p_text text) returns tsvector
language plpgsql immutable parallel safe
as $$
declare
  v_text text := p_text;
  v_spaced text := p_text;
  v_folded text;
  v_other regconfig;
  v_lexemes tsvector;
begin
  -- ASCII, as most texts: four times as fast
  if octet_length(p_text) = length(p_text) then
    v_lexemes := case when p_text ~ name_mark() then named_lexemes(p_language, p_text) else to_tsvector(p_language, p_text) end;
    v_other := other_language(p_language, p_text);
  else
    v_text := normalize(p_text, nfkc);
    v_spaced := regexp_replace(v_text, unspaced_scripts(), ' ', 'g');
    v_lexemes := named_lexemes(p_language, v_spaced) || array_to_tsvector(emoji_terms(v_text));
    v_folded := fold_accents(v_spaced);
    if v_folded <> v_spaced then
      v_lexemes := v_lexemes || to_tsvector(p_language, v_folded);
    end if;
    if v_spaced <> v_text then
      v_lexemes := v_lexemes || array_to_tsvector(unspaced_terms(v_text));
    end if;
    v_other := coalesce(script_language(v_spaced), other_language(p_language, v_spaced));
  end if;
  if v_other is null or v_other = p_language then
    return v_lexemes;
  end if;
  return add_language(v_lexemes, v_other, v_spaced);
end $$;

-- Returns the hash by which a passage stores who said it. A query that names an actor has the same hash.
create or replace function actor_key(p_actor text) returns int
language sql immutable parallel safe
return hashtext('@' || lower(p_actor));

-- Returns the hashes of the lexemes by which a passage is found: those of its text, of its header and of the day in words. Without TM, to_char
-- uses English in every locale, which makes it immutable here. As a SQL function it took a fifth longer.
create or replace function passage_terms(p_language regconfig, p_text text, p_header text, p_at timestamptz) returns int[]
language plpgsql immutable parallel safe
as $$
begin
  return array(
    select term_key(l)
    from unnest(tsvector_to_array(
      text_lexemes(p_language, concat(p_header, to_char(p_at at time zone 'UTC', ' FMDay FMDD FMMonth FMYYYY'), E'\n', p_text)))) l);
end $$;

-- Returns the event id of an event or passage id: chk_<event>_<ordinal> is a passage of evt_<event>. Other ids are returned unchanged. Compute it
-- for a column in a subquery with `offset 0`: under row-level security, an expression over another row cannot use an index, and each cited id read
-- the whole log (29 ms among 20,000 events instead of 0.1).
create or replace function event_of(p_id text) returns text
language sql immutable parallel safe
return case when p_id ~ '^chk_' then 'evt_' || split_part(substr(p_id, 5), '_', 1) else p_id end;

-- Returns true if an event with p_chunk_count passages has the passage p_id. The id of an event names no passage and is always valid.
create or replace function has_passage(p_id text, p_chunk_count int) returns boolean
language sql immutable parallel safe
return case
  when p_id !~ '^chk_' then true
  when p_id !~ '^chk_[^_]+_[0-9]{1,5}$' then false
  else split_part(p_id, '_', 3)::int < p_chunk_count end;

-- Returns the text of a passage.
create or replace function passage_text(p_chunk chunks) returns text
language sql stable
as $$ select coalesce(
  p_chunk.text, (select event_text(e.content) from events e where e.tenant_id = p_chunk.tenant_id and e.seq = p_chunk.seq)) $$;

-- Returns a hash of the fields from which passages are derived, to detect a change.
create or replace function passage_source(p_event events) returns text
language sql stable
as $$ select md5(concat_ws(' ', p_event.content, p_event.tags, p_event.actor_id)) $$;

-- Returns the validity of a passage, or null if it is unlimited, the times are not valid times, or they end before they begin.
create or replace function validity(p_times jsonb) returns tstzrange
language sql stable
return case
  when not p_times ?| array['valid_from', 'valid_to', 'expires_at'] then null
  when time_of(p_times ->> 'valid_from') > least(time_of(p_times ->> 'valid_to'), time_of(p_times ->> 'expires_at')) then null
  else tstzrange(time_of(p_times ->> 'valid_from'), least(time_of(p_times ->> 'valid_to'), time_of(p_times ->> 'expires_at'))) end;

-- The effect of an event with passages: { "chunks": [{ "text", "header", "token_count", "traits" }] }, with "valid_from", "valid_to" and
-- "expires_at" if their validity is limited.
--
-- Computing terms is half of the work of a commit, so it happens before the clock row is locked. A text that equals the text of the event is not
-- stored again. A unit that has "prepared" terms is a batch of its own.
create or replace function passages_prepare(p_tenant text, p_units jsonb, p_asked timestamptz) returns prepared[]
language plpgsql
as $$
begin
  if p_units #> '{0,prepared,passages}' is not null then
    return prepared_passages(p_tenant, p_units -> 0, p_asked);
  end if;
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

-- Returns the terms of passages that are too many for one statement, so that the commit need not compute them. p_passages: [{"text","header","at"}];
-- without "at", the day is today. Returns a list of arrays as text.
create or replace function terms_of_passages(p_tenant text, p_passages jsonb) returns jsonb
language plpgsql stable
as $$
begin
  perform enter_tenant(p_tenant);
  return (
    select jsonb_agg(
      passage_terms(t.language, c.doc ->> 'text', c.doc ->> 'header', coalesce((c.doc ->> 'at')::timestamptz, clock_timestamp()))::text
      order by c.ord)
    from tenants t
    cross join jsonb_array_elements(p_passages) with ordinality c (doc, ord)
    where t.tenant_id = p_tenant);
end $$;

-- Returns the passages of a unit whose "prepared"."passages" has the terms of each, in order.
create or replace function prepared_passages(p_tenant text, p_unit jsonb, p_asked timestamptz) returns prepared[]
language plpgsql
-- a join of two lists of thousands
set jit = off set enable_nestloop = off
as $$
begin
  return array(
    select row(
      'passages', 1, p.event, p.part,
      coalesce(k.terms::int[], passage_terms(p.language, p.doc ->> 'text', p.doc ->> 'header', coalesce(p.at, p_asked))),
      case when p.doc ->> 'text' = p.event_text then p.doc - 'text' else p.doc end)::prepared
    from (
      select t.language, e.event, e.event_text, e.at, c.doc, c.ord - 1 as part, row_number() over (order by e.event, c.ord) as place
      from tenants t
      cross join (
        select e.ord as event, event_text(e.doc -> 'content') as event_text, (e.doc ->> 'occurred_at')::timestamptz as at,
          e.doc #> '{effects,passages,chunks}' as chunks
        from jsonb_array_elements(p_unit -> 'events') with ordinality e (doc, ord)
        offset 0
      ) e
      cross join lateral jsonb_array_elements(e.chunks) with ordinality c (doc, ord)
      where t.tenant_id = p_tenant
    ) p
    left join jsonb_array_elements_text(p_unit #> '{prepared,passages}') with ordinality k (terms, place) on k.place = p.place);
end $$;

-- Returns the passages of an event as an effect, for another event with the same content.
create or replace function passages_of(p_tenant text, p_seq bigint) returns jsonb
language sql stable
begin atomic
  select jsonb_build_object('chunks', coalesce(
    jsonb_agg(jsonb_build_object('text', passage_text(c), 'header', c.header, 'token_count', c.token_count, 'traits', c.traits) order by c.ordinal), '[]'))
  from chunks c
  where c.tenant_id = p_tenant and c.seq = p_seq;
end;

-- Inserts the passages of a batch of events.
create or replace function passages_apply(p_tenant text, p_effects effect[], p_prepared prepared[], p_at timestamptz) returns answer[]
language plpgsql
-- one plan for arrays of any length: a unit may have thousands of events and passages
set jit = off set enable_nestloop = off
as $$
begin
  insert into chunks (
    tenant_id, seq, ordinal, kind, session_id, channel, sensitivity, user_id, agent_id, project_id,
    text, header, token_count, actor, traits, terms, occurred_at, valid)
  select
    p_tenant, e.seq, c.part, e.kind, e.session_id, e.channel, e.sensitivity, e.user_id, e.agent_id, e.project_id,
    c.doc ->> 'text', c.doc ->> 'header', (c.doc ->> 'token_count')::int, actor_key(e.actor_id), coalesce((c.doc ->> 'traits')::smallint, 0::smallint), c.numbers, e.occurred_at, validity(e.doc)
  from unnest(p_effects) e
  join unnest(p_prepared) c on c.unit = e.unit and c.event = e.event;
  return null;
end $$;

-- Ends the passages of these events: they are no longer current since the event p_until.
create or replace function end_chunks(p_tenant text, p_seqs bigint[], p_until bigint, p_at timestamptz) returns void
language plpgsql
set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
as $$
begin
  update chunks c set until_seq = p_until, until_at = p_at
  where c.tenant_id = p_tenant and c.until_seq is null and c.seq = any (p_seqs);
end $$;

-- Sets when the passages of these events ended (null: they are current) and when they are valid.
create or replace function set_chunk_validity(p_tenant text, p_seqs bigint[], p_untils bigint[], p_ats timestamptz[], p_valid tstzrange[]) returns void
language plpgsql
as $$
begin
  update chunks c set until_seq = d.until_seq, until_at = d.until_at, valid = d.valid
  from unnest(p_seqs, p_untils, p_ats, p_valid) d (seq, until_seq, until_at, valid)
  where c.tenant_id = p_tenant and c.seq = d.seq;
end $$;

-- Moves the end of passages that ended with a deleted event to another event.
create or replace function move_chunk_ends(p_tenant text, p_gone bigint[], p_seqs bigint[], p_untils bigint[], p_ats timestamptz[]) returns void
language plpgsql
as $$
begin
  update chunks c set until_seq = d.until_seq, until_at = d.until_at
  from unnest(p_seqs, p_untils, p_ats) d (seq, until_seq, until_at)
  where c.tenant_id = p_tenant and c.seq = d.seq and c.until_seq = any (p_gone);
end $$;

-- Copies the edits and the validity of the passages of an event to those of another event with the same content.
create or replace function copy_chunk_edits(p_tenant text, p_from bigint, p_to bigint) returns void
language plpgsql
as $$
begin
  update chunks c set valid = o.valid, weight = o.weight, blocked_in = o.blocked_in
  from chunks o
  where o.tenant_id = p_tenant and o.seq = p_from and c.tenant_id = p_tenant and c.seq = p_to and c.ordinal = o.ordinal;
end $$;

-- Rebuilds the passages p_from..p_to: deletes them, inserts p_chunks, and lets each noun restore what it knows about them. p_read:
-- [{"seq","source"}], the events from which they were derived; p_chunks: [{"seq","ordinal","text","header","token_count","traits","terms"}], where
-- "terms" is absent if they are to be computed. Returns false and writes nothing if one of these events was erased or changed since it was read: otherwise its old text would come back. Whoever changes or
-- removes an event locks the clock row first. Terms are computed before it is locked, as in a commit.
create or replace function rebuild_chunks(p_tenant text, p_from bigint, p_to bigint, p_read jsonb, p_chunks jsonb) returns boolean
language plpgsql
as $$
declare
  v_passages passage[];
  v_noun text;
begin
  perform enter_tenant(p_tenant);
  v_passages := array(
    select row(
      c.seq, c.ordinal, c.text, c.header, c.token_count, c.traits,
      coalesce(c.terms, passage_terms(t.language, c.text, c.header, e.occurred_at)))::passage
    from jsonb_to_recordset(p_chunks) c (seq bigint, ordinal smallint, text text, header text, token_count int, traits smallint, terms int[])
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
    text, header, token_count, actor, traits, terms, occurred_at)
  select
    p_tenant, e.seq, c.ordinal, e.kind, e.session_id, e.channel, e.sensitivity, e.user_id, e.agent_id, e.project_id,
    nullif(c.text, event_text(e.content)), c.header, c.token_count, actor_key(e.actor_id), coalesce(c.traits, 0::smallint), c.terms, e.occurred_at
  from unnest(v_passages) c
  join events e on e.tenant_id = p_tenant and e.seq = c.seq;
  for v_noun in select * from hooks('rebuilt') loop
    execute format('select %I($1, $2, $3)', v_noun || '_rebuilt') using p_tenant, p_from, p_to;
  end loop;
  update chunk_rebuilds r set rebuilt_to = p_to where r.tenant_id = p_tenant;
  return true;
end $$;

-- Erasure, trim and retention: deletes the passages of blanked or dropped events.
create or replace function passages_clear(p_tenant text, p_seqs bigint[], p_dry boolean) returns jsonb
language plpgsql
as $$
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

-- Returns the bytes of the passages p_from..p_to, with an estimate of 50 per row.
create or replace function passages_measure(p_tenant text, p_from bigint, p_to bigint) returns bigint
language sql stable
begin atomic
  select coalesce(sum(octet_length(passage_text(c)) + octet_length(c.header) + 50), 0)::bigint
  from chunks c where c.tenant_id = p_tenant and c.seq between p_from and p_to;
end;

-- Returns the ordinal, text and header of each passage of an event.
create or replace function passages_words(p_event events) returns jsonb
language sql stable
as $$
  select jsonb_build_object('chunks', coalesce(jsonb_agg(jsonb_build_array(c.ordinal, passage_text(c), c.header) order by c.ordinal), '[]'))
  from chunks c where c.tenant_id = p_event.tenant_id and c.seq = p_event.seq;
$$;

-- Writes the passages of an event with the names replaced.
create or replace function passages_rename(p_tenant text, p_seq bigint, p_parts jsonb) returns void
language sql
begin atomic
  update chunks c
  set text = nullif(p.part ->> 1, case when c.text is null then event_text(p_parts -> 'content') end), header = p.part ->> 2,
    terms = passage_terms((select t.language from tenants t where t.tenant_id = p_tenant), p.part ->> 1, p.part ->> 2, c.occurred_at),
    actor = actor_key(f.actor_id), session_id = f.session_id, user_id = f.user_id, agent_id = f.agent_id, project_id = f.project_id
  from jsonb_array_elements(p_parts -> 'chunks') p (part),
    jsonb_to_record(p_parts -> 'fields') f (session_id text, user_id text, agent_id text, project_id text, actor_id text)
  where c.tenant_id = p_tenant and c.seq = p_seq and c.ordinal = (p.part ->> 0)::int;
end;

-- Sets when passages ended, one array element per passage.
create or replace function set_passage_ends(p_tenant text, p_seqs bigint[], p_ordinals smallint[], p_until_seqs bigint[], p_until_ats timestamptz[]) returns bigint
language plpgsql
as $$
declare
  v_count bigint;
begin
  update chunks c set until_seq = x.until_seq, until_at = x.until_at
  from unnest(p_seqs, p_ordinals, p_until_seqs, p_until_ats) x (seq, ordinal, until_seq, until_at)
  where c.tenant_id = p_tenant and c.seq = x.seq and c.ordinal = x.ordinal;
  get diagnostics v_count = row_count;
  return v_count;
end $$;

-- Returns the events p_from..p_to whose passages do not come from the log.
create or replace function rewritten_seqs(p_tenant text, p_from bigint, p_to bigint) returns setof bigint
language plpgsql stable
as $$
declare
  v_noun text;
begin
  for v_noun in select * from hooks('rewritten') loop
    return query execute format('select * from %I($1, $2, $3)', v_noun || '_rewritten') using p_tenant, p_from, p_to;
  end loop;
end $$;

-- Checks that each event has as many passages as it states, and that each passage has the scope of its event.
create or replace function passages_check(p_tenant text, p_from bigint, p_to bigint) returns setof finding
language plpgsql stable
set plan_cache_mode = force_custom_plan
as $$
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
    -- secret events have no passages
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

-- Passages of an event that was erased, or blanked by retention, are legitimately gone.
create or replace function passages_missing(p_tenant text, p_ids text[], p_oldest_id text, p_forgotten boolean)
returns table (id text, gone boolean)
language sql stable
as $$
  select i.id, coalesce(e.erased_at is not null or substr(i.id, 5, 26) < substr(p_oldest_id, 5, 26), false)
  from (select c.id, event_of(c.id) as event_id from unnest(p_ids) c (id) offset 0) i
  -- `limit` forces one look-up per id
  left join lateral (
    select x.chunk_count, x.erased_at from events x where x.tenant_id = p_tenant and x.event_id = i.event_id limit 1
  ) e on true
  where not coalesce(has_passage(i.id, e.chunk_count), false)
$$;

-- Starts a rebuild. Until it ends, responses report `partial_index`.
create or replace function begin_rebuild(p_tenant text) returns void
language sql
begin atomic
  insert into chunk_rebuilds (tenant_id) values (p_tenant) on conflict (tenant_id) do update set rebuilt_to = 0;
end;

-- Replaces the passages of an event: [{"ordinal","text","header","token_count","weight","blocked_in","retracted"}]. The times are kept, and the
-- terms too if the text is unchanged. A retracted passage has no terms.
create or replace function rewrite_passages(p_tenant text, p_event events, p_passages jsonb) returns void
language plpgsql
as $$
declare
  v_noun text;
begin
  delete from chunks c where c.tenant_id = p_tenant and c.seq = p_event.seq and c.ordinal >= jsonb_array_length(p_passages);
  insert into chunks (
    tenant_id, seq, ordinal, kind, session_id, channel, sensitivity, user_id, agent_id, project_id,
    text, header, token_count, actor, traits, terms, occurred_at, until_seq, until_at, valid, weight, blocked_in)
  select
    p_tenant, p_event.seq, x.ordinal, p_event.kind, p_event.session_id, p_event.channel, p_event.sensitivity,
    p_event.user_id, p_event.agent_id, p_event.project_id, x.text, x.header, x.token_count, actor_key(p_event.actor_id), coalesce(c.traits, 0::smallint),
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
  -- an upsert, because a rebuild may delete the rows meanwhile; this waits for the rows that it inserts
  on conflict (tenant_id, seq, ordinal) do update
  set text = excluded.text, header = excluded.header, token_count = excluded.token_count, terms = excluded.terms, weight = excluded.weight,
    blocked_in = excluded.blocked_in;
  for v_noun in select * from hooks('reworded') loop
    execute format('select %I($1, $2)', v_noun || '_reworded') using p_tenant, p_event.seq;
  end loop;
end $$;
