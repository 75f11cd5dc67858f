-- Vectors of passages, made by a model at an endpoint of the operator. A daemon embeds the passages after they are committed, so the table lags behind
-- the log.
-- min_code: 1

create table embeddings (
  tenant_id text not null,
  seq bigint not null,
  ordinal smallint not null,
  model text not null,
  -- md5 of the embedded text: the vector of another text must not be kept
  source uuid not null,
  -- a signed byte per component, of which only the direction has a meaning; empty if the endpoint refused the text
  vector bytea not null,
  -- the signs of the components: the Hamming distance of two of them approximates the angle between the vectors
  signs bit varying not null,
  constraint embeddings_pkey primary key (tenant_id, seq, ordinal, model),
  constraint embeddings__tenant foreign key (tenant_id) references tenants (tenant_id) on delete cascade
);

select wall('embeddings', 'select, insert, update, delete');

-- Derived from passages: no other rows depend on them, an erasure deletes them through `clear`, and they are never exported.
select noun('embeddings', without => '{forget,held,needs}');

-- The position in the log of a tenant up to which a model has embedded its passages. One daemon works on a row at a time.
create table embedding_backlogs (
  tenant_id text not null,
  model text not null,
  -- the next passage to examine
  next_seq bigint not null default 1,
  next_ordinal smallint not null default 0,
  -- the number identifies late reports of a daemon that lost the lease
  lease_id bigint not null default 0,
  lease_until timestamptz not null default '-infinity',
  constraint embedding_backlogs_pkey primary key (tenant_id, model),
  constraint embedding_backlogs__tenant foreign key (tenant_id) references tenants (tenant_id) on delete cascade
);

select wall('embedding_backlogs', 'select, insert, update, delete');

-- Stretches of the log whose passages were replaced after they had been examined, by an edit or a rebuild.
create table embedding_gaps (
  tenant_id text not null,
  model text not null,
  next_seq bigint not null,
  next_ordinal smallint not null default 0,
  last_seq bigint not null,
  -- counts the changes of the stretch, so that a daemon that works on it notices the next one
  version int not null default 1,
  constraint embedding_gaps_pkey primary key (tenant_id, model, last_seq),
  constraint embedding_gaps__backlog foreign key (tenant_id, model) references embedding_backlogs (tenant_id, model) on delete cascade
);

select wall('embedding_gaps', 'select, insert, update, delete');

-- The overseer role sees which tenants have passages to embed, but no vectors.
grant select on embedding_backlogs, embedding_gaps to agent_memory_overseer;

create policy overseer_reads on embedding_backlogs for select to agent_memory_overseer using (true);

create policy overseer_reads on embedding_gaps for select to agent_memory_overseer using (true);

-- for the search functions, which find vectors in the whole scope of a request
grant select on embeddings to agent_memory_searcher;

create policy searcher_reads on embeddings for select to agent_memory_searcher using (true);
