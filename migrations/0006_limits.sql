-- Rate limits that all daemons share where there is no Redis: tokens are taken from here in blocks.
-- min_code: 1

-- Outside the wall: one statement takes for several tenants at once. A row names nobody, its key is a digest, and it is gone soon
-- after its window. Unlogged: taking waits for no disk, and a crash of the server merely opens new windows.
create unlogged table rate_windows (
  key text not null,
  used bigint not null,
  -- by the last call: `returning` cannot tell what a row was before
  granted int not null,
  ends_at timestamptz not null,
  constraint rate_windows_pkey primary key (key)
) with (fillfactor = 50);

-- the sweeper; updates within a window leave it alone and stay in their page
create index rate_windows__ends_at on rate_windows (ends_at);

grant select, insert, update, delete on rate_windows to agent_memory_app;

select let_back_up('rate_windows');
