-- The list of actions that wait for a decision.
-- min_code: 1

create index actions__deferred on actions (tenant_id, mandate_id, action_id) where decision = 'defer' and state = 'open';
