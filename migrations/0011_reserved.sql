-- Reserved.
-- min_code: 1

select 1;
