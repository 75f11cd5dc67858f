-- Edits: approved overlays on events. Events do not change; the displayed content of events and passages is derived from the edits.
-- min_code: 1

-- An edit of the event `seq` or one of its passages. Visibility is copied from the event, so that whoever sees the event sees the edit.
create table edits (
  tenant_id text not null,
  edit_id text not null,
  status text not null,
  version int not null default 1,
  -- id given by the client: evt_…, chk_… or mem_…
  target text not null,
  seq bigint not null,
  event_id text not null,
  -- null: all passages of the event
  ordinal smallint,
  memory_id text,
  op text not null,
  reason text not null,
  patch jsonb not null,
  -- passages of an amendment: [{"text","header","token_count"}]
  passages jsonb,
  session_id text not null,
  channel text not null,
  user_id text,
  agent_id text,
  project_id text,
  sensitivity text not null,
  proposed_by jsonb not null,
  -- the credential that proposed it
  principal text not null,
  decided_by jsonb,
  proposed_seq bigint not null,
  -- order in which approved edits are applied
  approved_seq bigint,
  last_seq bigint not null,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  constraint edits_pkey primary key (tenant_id, edit_id),
  constraint edits__tenant foreign key (tenant_id) references tenants (tenant_id) on delete cascade,
  constraint edits__status check (status in ('pending', 'approved', 'rejected', 'reverted')),
  constraint edits__op check (op in ('retract', 'amend', 'quarantine', 'attenuate', 'block')),
  constraint edits__passages check ((op = 'amend') = (passages is not null))
);

-- for lists
create unique index edits__proposed on edits (tenant_id, proposed_seq);

-- for the pending and approved edits of an event
create index edits__seq on edits (tenant_id, seq);

select wall('edits', 'select, insert, update, delete');

-- An edit is kept with its event. Data derived from edits is checked and rebuilt with the passages.
select noun('edits', prefix => 'edt', part => 'edit', keys => array['edit_id'], without => '{held,needs,check,repair}');

-- The events that an approved edit applies to: its target, and for a memory the events with the same content.
create table edit_events (
  tenant_id text not null,
  seq bigint not null,
  edit_id text not null,
  constraint edit_events_pkey primary key (tenant_id, seq, edit_id),
  constraint edit_events__edit foreign key (tenant_id, edit_id) references edits (tenant_id, edit_id) on delete cascade
);

create index edit_events__edit on edit_events (tenant_id, edit_id);

select wall('edit_events', 'select, insert, delete');

select portable('edit_events', part => 'edit_event', keys => array['seq', 'edit_id']);

-- The edited form of an event; derived. An event without edits has no row.
create table overlays (
  tenant_id text not null,
  seq bigint not null,
  -- replaces the content of the event; {"withheld": true} if nothing may be read; null if unchanged
  content jsonb,
  -- channels in which it is hidden; all four if it is quarantined or retracted
  blocked_in text[],
  chunk_count smallint not null,
  -- lowest weight of its passages
  weight real,
  edit_ids text[] not null,
  -- its passages before any edit
  base jsonb not null,
  constraint overlays_pkey primary key (tenant_id, seq),
  constraint overlays__tenant foreign key (tenant_id) references tenants (tenant_id) on delete cascade
);

select wall('overlays', 'select, insert, update, delete');

select portable('overlays', part => 'overlay', keys => array['seq'], weight => 'pg_column_size(t.content) + pg_column_size(t.base)');

-- Search filters only read what the request may see.
grant select (tenant_id, seq, blocked_in) on overlays to agent_memory_searcher;

create policy searcher_reads on overlays for select to agent_memory_searcher using (true);
