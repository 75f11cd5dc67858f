-- An API key can read what is addressed to its agent only if an admin bound it to the agent.
-- min_code: 1

-- true if an admin chose `agent_id`, or if the key inherited it from such a key
alter table api_keys add column agent_attested boolean not null default false;
