-- Rate limits shared by all daemons without Redis: daemons take tokens in blocks.
-- min_code: 1

-- No row-level security, because one statement takes tokens for several tenants. A row identifies nobody: its key is a digest, and it is deleted
-- soon after its window. Unlogged, so that taking tokens does not wait for the disk; a server crash only starts new windows.
create unlogged table rate_windows (
  key text not null,
  used bigint not null,
  -- tokens granted by the last call, because `returning` cannot return old values
  granted int not null,
  ends_at timestamptz not null,
  constraint rate_windows_pkey primary key (key)
) with (fillfactor = 50);

-- for the sweeper; updates within a window do not change it and stay in their page
create index rate_windows__ends_at on rate_windows (ends_at);

grant select, insert, update, delete on rate_windows to agent_memory_app;

select let_back_up('rate_windows');
