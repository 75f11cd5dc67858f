-- Search: written on its own branch.
-- min_code: 1
select 1;
