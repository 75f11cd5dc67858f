-- Indexes for the profile: the newest active memories of a subject, project or agent, and the newest shared ones, whatever the size of the tenant.
-- min_code: 1

create index memories__subject on memories (tenant_id, user_id, kind, content_seq) where status = 'active';

create index memories__project on memories (tenant_id, project_id, kind, content_seq) where status = 'active' and project_id is not null;

create index memories__agent on memories (tenant_id, agent_id, kind, content_seq) where status = 'active' and agent_id is not null;

create index memories__shared on memories (tenant_id, kind, content_seq) where status = 'active' and channel <> 'private';
