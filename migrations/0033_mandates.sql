-- Counts the open actions of mandates whose actions began before the counter existed.
-- min_code: 1

-- Commits and sweeps lock the clock of their tenant first, so no action begins or ends meanwhile.
lock table tenant_clocks in exclusive mode;

-- row-level security otherwise binds the owner too, for whom no policy exists
alter table actions no force row level security;
alter table mandates no force row level security;

update mandates m
set open_actions = coalesce(o.count, 0)
from mandates x
left join (
  select a.tenant_id, i.id, count(*)
  from actions a
  join mandates l on l.tenant_id = a.tenant_id and l.mandate_id = a.mandate_id
  cross join lateral unnest(l.chain) i (id)
  where a.state = 'open'
  group by a.tenant_id, i.id
) o on o.tenant_id = x.tenant_id and o.id = x.mandate_id
where m.tenant_id = x.tenant_id and m.mandate_id = x.mandate_id and m.open_actions <> coalesce(o.count, 0);

alter table actions force row level security;
alter table mandates force row level security;
