// A minimal server for GET /v1/events/{id}, the baseline that the service is compared with.
import { createServer } from 'node:http';
import pg from 'pg';

const pool = new pg.Pool({ max: 20 });
const select = {
  name: 'event',
  text: `select seq, event_id, session_id, channel, actor_type, actor_id, kind, content, user_id, agent_id, project_id, sensitivity, tags, refs,
    metadata, artifact_id, chunk_count, occurred_at, created_at
    from events where tenant_id = $1 and event_id = $2`,
};

const server = createServer(async (req, res) => {
  const { rows } = await pool.query({ ...select, values: [process.env.TENANT, req.url.slice('/v1/events/'.length)] });
  const text = JSON.stringify(rows[0]);
  res.setHeader('Content-Type', 'application/json; charset=utf-8');
  res.setHeader('Content-Length', Buffer.byteLength(text));
  res.end(text);
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
