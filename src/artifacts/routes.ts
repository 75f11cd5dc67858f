import type { IncomingMessage } from 'node:http';
import { z } from 'zod';
import {
  actorOf,
  agentOf,
  allowedChannels,
  behalfQuery,
  type Caller,
  channels,
  isAdmin,
  onBehalf,
  requireChannel,
  requireSubjectFor,
  route,
  subjectOf,
  visibilityById,
  visibilityValues,
  visible,
} from '../auth/index.ts';
import { unitOf } from '../db/unit.ts';
import { nameOf } from '../http/name.ts';
import { assertWritten, replayHeaders } from '../http/outcome.ts';
import { Problem } from '../http/problem.ts';
import type { Idempotency, Reply } from '../http/route.ts';
import { newId } from '../id.ts';
import type { AsyncScreener, Secrets } from '../secrets/index.ts';
import type { Workers } from '../work/index.ts';
import { bufferOf, type ScreenedBytes, screenBytes, type Upload } from './screen.ts';
import { type ArtifactRecord, findArtifact, readSlice } from './sql.ts';
import { commitWithArtifacts, withArtifact } from './stage.ts';

const uploadQuery = z.strictObject({
  channel: z.enum(channels).default('private'),
  session_id: nameOf().default('artifacts'),
  user_id: nameOf().optional(),
  agent_id: nameOf().optional(),
  project_id: nameOf().optional(),
  sensitivity: z.enum(['none', 'low', 'high']).default('none').describe('An upload cannot be declared `secret`.'),
});

const stored = z
  .object({
    artifact_id: z.string(),
    event_id: z.string(),
    seq: z.int(),
    media_type: z.string(),
    byte_count: z.int(),
    sha256: z.string(),
    redactions: z.int().min(1).optional().describe('Number of redacted spans. Absent if nothing was redacted.'),
    unindexed_bytes: z.int().min(0).describe('Bytes that search does not cover: all bytes of the upload.'),
    created_at: z.string(),
  })
  .meta({ id: 'StoredArtifact' });

export const artifactRoutes = (maxBytes: number, secrets: Secrets, workers: Workers) => [
  route({
    method: 'POST',
    path: '/v1/artifacts',
    operation: 'storeArtifact',
    summary: 'Upload an artifact',
    description: 'The body can have any media type. The service also records an event that refers to the artifact.',
    tag: 'Artifacts',
    access: 'write',
    limit: 'v1',
    idempotent: true,
    query: uploadQuery,
    raw: { maxBytes },
    success: { status: 201, description: 'The stored artifact', schema: stored },
    problems: ['validation', 'too-large', 'conflict', 'quota-exceeded'],
    handle: async ({ caller, query, body, req, idempotency }) => {
      const plan = await planUpload(caller, query, req, secrets);
      return store(plan, screenBytes(plan.screener, body as unknown as Buffer, plan.event_id), idempotency);
    },
    handleLarge: async ({ caller, query, bytes, idempotencyRequest, req, signal }) => {
      const plan = await planUpload(caller, query, req, secrets);
      const input: Upload = { bytes, event_id: plan.event_id, source: plan.screener.source, idempotencyRequest };
      const order = { tenant: caller.tenant.id, task: 'artifact', input, transfer: [bytes.buffer as ArrayBuffer], signal };
      const { idempotency, ...screened } = await workers.run<ScreenedBytes & { idempotency: Idempotency | null }>(order);
      const received = { ...screened, bytes: bufferOf(screened.bytes), sha256: bufferOf(screened.sha256) };
      return store(plan, received, idempotency);
    },
  }),
  route({
    method: 'GET',
    path: '/v1/artifacts/{artifact_id}',
    operation: 'readArtifact',
    summary: 'Download an artifact, or a range of it',
    tag: 'Artifacts',
    access: 'read',
    limit: 'v1',
    params: z.strictObject({ artifact_id: nameOf() }),
    query: z.strictObject(behalfQuery),
    success: { status: 200, description: 'The bytes, as an attachment', mediaType: '*/*' },
    otherAnswers: [
      { status: 304, description: 'The client already has these bytes (`If-None-Match`)' },
      { status: 206, description: 'The requested range of bytes', mediaType: '*/*' },
    ],
    problems: ['validation', 'forbidden', 'not-found', 'range-not-satisfiable'],
    handle: async ({ caller: authenticated, params, query, req }) => {
      const caller = onBehalf(authenticated, query);
      return caller.tenant.read(async (db) => {
        const artifact = await findArtifact(
          db,
          caller.tenant.id,
          params.artifact_id,
          visible(3),
          visibilityValues(visibilityById(caller.principal)),
          isAdmin(caller.principal) ? null : allowedChannels(caller.principal),
        );
        if (!artifact) throw new Problem('not-found', 'There is no artifact with this id.');
        requireSubjectFor(caller.principal, artifact);
        if (matchesEtag(req.headers['if-none-match'], artifact)) return { status: 304, headers: headersOf(artifact, undefined) };
        const range = matchesIfRange(req.headers['if-range'], artifact)
          ? rangeOf(req.headers.range, artifact.byte_count)
          : undefined;
        const body = await readSlice(
          db,
          caller.tenant.id,
          artifact.artifact_id,
          range?.from ?? 0,
          range?.to ?? artifact.byte_count,
        );
        if (!body) throw new Problem('not-found', 'There is no artifact with this id.');
        return { status: range ? 206 : 200, headers: headersOf(artifact, range), body };
      });
    },
  }),
];

interface UploadPlan {
  caller: Caller;
  query: z.output<typeof uploadQuery>;
  media_type: string;
  user_id: string | undefined;
  event_id: string;
  screener: AsyncScreener;
}

/** Validates everything that does not depend on the bytes. */
async function planUpload(
  caller: Caller,
  query: UploadPlan['query'],
  req: IncomingMessage,
  secrets: Secrets,
): Promise<UploadPlan> {
  const media_type = mediaType(req.headers['content-type']);
  requireChannel(caller.principal, query.channel);
  const { session_id, project_id, channel } = query;
  const agent_id = agentOf(caller.principal, query.agent_id);
  const screener = await secrets.of(caller.tenant);
  screener.refuseIds({ session_id, user_id: query.user_id, agent_id, project_id, 'Content-Type': media_type }, '#');
  const user_id = subjectOf(caller.principal, query.user_id, channel === 'private', { parameter: 'user_id' });
  return { caller, query: { ...query, agent_id }, media_type, user_id, event_id: newId('evt'), screener };
}

async function store(plan: UploadPlan, screened: ScreenedBytes, idempotency: Idempotency | null): Promise<Reply> {
  const { caller, query, media_type, user_id, event_id } = plan;
  const { bytes, sha256, redactions, sealed } = screened;
  const artifact_id = newId('art');
  const { sensitivity } = query;
  const content = {
    artifact_id,
    media_type,
    byte_count: bytes.length,
    sha256: sha256.toString('hex'),
    ...(sealed && { sealed }),
  };
  const artifact = { artifact_id, media_type, bytes, sha256, channel: query.channel, sensitivity, user_id };
  const event = { ...eventOf(caller, { ...query, user_id, event_id }, content), ...(redactions > 0 && { redactions }) };
  const unit = unitOf(idempotency, [withArtifact(event, artifact_id)], bytes.length);
  const outcome = await commitWithArtifacts(caller.tenant, [artifact], unit);
  assertWritten(outcome);
  return answer(caller, outcome.seq, outcome.status === 'replay');
}

const charsets =
  /;\s*charset="?(utf-8|us-ascii|utf-16(?:le|be)?|iso-8859-\d{1,2}|windows-125\d|shift_jis|euc-jp|euc-kr|gb18030|gbk|big5|koi8-r)"?\s*(?:;|$)/i;

/** Removes all parameters except a known charset, because a parameter may contain anything, even a secret. */
function mediaType(header = 'application/octet-stream'): string {
  const [, type] = /^([\w.+-]+\/[\w.+-]+)\s*(?:;[\x20-\x7e]*)?$/.exec(header) ?? [];
  if (type === undefined || header.length > 255)
    throw new Problem('unsupported-media-type', 'Content-Type must be a media type.');
  const [, charset] = charsets.exec(header) ?? [];
  return charset === undefined ? type : `${type}; charset=${charset.toLowerCase()}`;
}

function eventOf(
  { principal }: Caller,
  query: Omit<z.output<typeof uploadQuery>, 'user_id'> & { user_id: string | undefined; event_id: string },
  content: { artifact_id: string },
) {
  const actor = actorOf(principal, query.agent_id);
  return {
    event_id: query.event_id,
    session_id: query.session_id,
    channel: query.channel,
    actor_type: actor.type,
    actor_id: actor.id,
    kind: 'artifact',
    content,
    ...(query.user_id !== undefined && { user_id: query.user_id }),
    agent_id: query.agent_id,
    project_id: query.project_id,
    sensitivity: query.sensitivity,
    tags: [],
    refs: [],
    metadata: {},
  };
}

/** Returns the stored artifact; for a retry, the one that the first attempt stored. */
async function answer({ tenant }: Caller, seq: number, replay: boolean): Promise<Reply> {
  const event = await tenant.read((db) =>
    db.row<{
      event_id: string;
      content: { artifact_id: string; media_type: string; byte_count: number; sha256: string };
      redactions: number | null;
      created_at: string;
    }>('select event_id, content, redactions, created_at from events where tenant_id = $1 and seq = $2', [tenant.id, seq]),
  );
  if (!event) throw new Problem('gone', 'The result of the first request with this Idempotency-Key is no longer stored.');
  const { event_id, created_at, redactions } = event;
  const { artifact_id, media_type, byte_count, sha256 } = event.content;
  const cut = redactions !== null && { redactions };
  return {
    body: { seq, event_id, created_at, artifact_id, media_type, byte_count, sha256, ...cut, unindexed_bytes: byte_count },
    headers: { Location: `/v1/artifacts/${event.content.artifact_id}`, ...replayHeaders(replay) },
  };
}

interface Range {
  from: number;
  /** Exclusive. */
  to: number;
}

/**
 * Parses a single range of bytes (RFC 9110, 14.1.2). Returns undefined for several ranges or other units: the answer is then the whole artifact, as the RFC
 * allows.
 */
function rangeOf(header: string | undefined, size: number): Range | undefined {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header ?? '');
  if (!match || (match[1] === '' && match[2] === '')) return undefined;
  const from = match[1] === '' ? Math.max(0, size - Number(match[2])) : Number(match[1]);
  const to = match[1] === '' || match[2] === '' ? size : Math.min(size, Number(match[2]) + 1);
  if (from >= size || from >= to)
    throw new Problem('range-not-satisfiable', `The artifact has ${size} bytes.`, {
      headers: { 'Content-Range': `bytes */${size}` },
    });
  return { from, to };
}

/** Returns true if the client already has these bytes (RFC 9110, 13.1.2), which never change under one id. */
const matchesEtag = (header: string | undefined, { sha256 }: ArtifactRecord): boolean =>
  header !== undefined && (header.trim() === '*' || header.includes(`"${sha256.toString('hex')}"`));

/** Returns true if `If-Range` is absent or names these bytes (RFC 9110, 13.1.5). Otherwise the answer is the whole artifact. */
const matchesIfRange = (header: string | string[] | undefined, { sha256 }: ArtifactRecord): boolean =>
  header === undefined || String(header).trim() === `"${sha256.toString('hex')}"`;

/** Prevents browsers from rendering uploaded bytes: attachment, no sniffing, no scripts. */
const headersOf = (artifact: ArtifactRecord, range: Range | undefined): Record<string, string> => ({
  'Content-Type': artifact.media_type,
  'Content-Disposition': `attachment; filename="${artifact.artifact_id}"`,
  'Content-Security-Policy': "default-src 'none'; sandbox",
  'Accept-Ranges': 'bytes',
  ETag: `"${artifact.sha256.toString('hex')}"`,
  ...(range && { 'Content-Range': `bytes ${range.from}-${range.to - 1}/${artifact.byte_count}` }),
});
