// A minimal server for GET /v1/events/{id} and GET /tags/{group}, the baseline that the service is compared with.
import { createServer } from 'node:http';
import pg from 'pg';

const pool = new pg.Pool({ max: 20 });
const select = {
  name: 'event',
  text: `select seq, event_id, session_id, channel, actor_type, actor_id, kind, content, user_id, agent_id, project_id, sensitivity, tags, refs,
    metadata, artifact_id, chunk_count, occurred_at, created_at
    from events where tenant_id = $1 and event_id = $2`,
};

const tagged = {
  name: 'tagged',
  text: `select namespace, key, body, tags, version, seq, created_at, updated_at, channel
    from state_objects
    where tenant_id = $1 and namespace = 'bench' and tag_keys @> state_tag_keys($1, 'bench', $2) and tags @> $2
    order by key limit 51`,
};

const server = createServer(async (req, res) => {
  const tenant = process.env.TENANT;
  const [, part, , id] = req.url.split('/');
  const values = part === 'tags' ? [tenant, JSON.stringify({ group: req.url.slice('/tags/'.length) })] : [tenant, id];
  const { rows } = await pool.query({ ...(part === 'tags' ? tagged : select), values });
  const text = JSON.stringify(part === 'tags' ? rows : rows[0]);
  res.setHeader('Content-Type', 'application/json; charset=utf-8');
  res.setHeader('Content-Length', Buffer.byteLength(text));
  res.end(text);
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
