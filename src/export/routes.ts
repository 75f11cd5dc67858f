import type { IncomingMessage, ServerResponse } from 'node:http';
import { z } from 'zod';
import {
  allowedChannels,
  type Behalf,
  behalfQuery,
  type Caller,
  isAdmin,
  lacksSubject,
  onBehalf,
  requireNamedSubject,
  route,
  visibilityById,
} from '../auth/index.ts';
import type { Tenant } from '../db/tenant.ts';
import { assertUtf8 } from '../http/body.ts';
import { Problem } from '../http/problem.ts';
import { STREAMED } from '../http/route.ts';
import { acceptedReply } from '../jobs/index.ts';
import type { Secrets } from '../secrets/index.ts';
import { readChangingRows, type SpoolNeeds, writeFull } from './full.ts';
import { importTenant } from './import.ts';
import type { ImportLimits } from './import_lines.ts';
import { type LineLimits, linesOf } from './lines.ts';
import { ClientGone, openOutput } from './output.ts';
import { writePartial } from './partial.ts';
import { imported } from './schemas.ts';
import { openSlots, type SlotLimits } from './slots.ts';

const MEDIA_TYPE = 'application/x-ndjson';
const tagged = { tag: 'Export', limit: 'v1', noTimeout: true } as const;
const RECHECK_MS = 30_000;

export interface ExportNeeds extends ImportLimits, LineLimits, SlotLimits, SpoolNeeds {
  /** Without a renewal for this time, an import is abandoned. */
  lease_ms: number;
  /** Authenticates the request again. Rejects if its credential is no longer valid. */
  recheck(req: IncomingMessage): Promise<Caller>;
  secrets: Secrets;
  /** Called when a job was queued. */
  onJobQueued(): void;
  /** Throws if the imported data is inconsistent. */
  verify(tenant: Tenant, first: number, last: number): Promise<void>;
}

export function exportRoutes(needs: ExportNeeds) {
  const withSlot = openSlots(needs);
  const slotRequest = ({ tenant, principal }: Caller, req: IncomingMessage) => ({
    tenant_id: tenant.id,
    admin: isAdmin(principal),
    socket: req.socket,
  });
  return [
    route({
      ...tagged,
      method: 'GET',
      path: '/v1/export',
      operation: 'exportTenant',
      audit: 'tenant.exported',
      summary: 'Export the tenant as newline-delimited JSON',
      description: 'Admins export the whole tenant, other users the events that they can read.',
      access: 'read',
      query: z.strictObject(behalfQuery),
      success: { status: 200, description: 'One line per row. The last line has the type `end`', mediaType: MEDIA_TYPE },
      problems: ['validation', 'forbidden', 'not-found'],
      handle: async ({ caller, query, req, res }) => {
        const { full } = viewOf(caller, query);
        return withSlot({ ...slotRequest(caller, req), admin: full }, () => streamExport(needs, caller, query, req, res));
      },
    }),
    route({
      ...tagged,
      method: 'POST',
      path: '/v1/import',
      operation: 'importTenant',
      audit: 'tenant.imported',
      summary: 'Import an export into an empty tenant',
      access: 'admin',
      bodyStream: MEDIA_TYPE,
      query: z.strictObject({}),
      success: {
        status: 202,
        description: 'The data was imported. A job builds the passages that search needs',
        schema: imported,
      },
      problems: ['validation', 'conflict', 'too-large', 'quota-exceeded', 'malformed-request', 'timeout', 'not-found'],
      handle: ({ caller, req }) =>
        withSlot(slotRequest(caller, req), async () => {
          const { tenant, principal, signed } = caller;
          assertLines(req);
          const screener = await needs.secrets.of(tenant);
          const lines = linesOf(req, signed?.digest, needs, (bytes) => bytes.length < 4096 && bytes.includes('"end"'));
          const outcome = await importTenant(tenant, lines, { ...needs, screener }, needs.verify, principal.id);
          needs.onJobQueued();
          return { body: outcome, headers: acceptedReply(outcome.job_id, false).headers };
        }),
    }),
  ];
}

function assertLines(req: IncomingMessage): void {
  if (!/^application\/x-ndjson\s*(?:;|$)/i.test(req.headers['content-type'] ?? ''))
    throw new Problem('unsupported-media-type', `The body must be ${MEDIA_TYPE}.`);
  assertUtf8(req);
  if ((req.headers['content-encoding'] ?? 'identity') !== 'identity')
    throw new Problem('unsupported-media-type', 'Compressed bodies are not supported.');
}

/** An admin exports the whole tenant, unless the request is on behalf of one user. */
function viewOf(caller: Caller, query: Behalf) {
  const { principal } = onBehalf(caller, query);
  requireNamedSubject(principal);
  const full = isAdmin(principal) && principal.reading !== 'one';
  const visibility = visibilityById(principal);
  return {
    full,
    visibility: lacksSubject(principal) ? { ...visibility, subjects: [] } : visibility,
    channels: allowedChannels(principal),
  };
}

async function streamExport(
  needs: ExportNeeds,
  caller: Caller,
  query: Behalf,
  req: IncomingMessage,
  res: ServerResponse,
): Promise<typeof STREAMED> {
  const view = viewOf(caller, query);
  const { full, visibility, channels } = view;
  const source = full ? await readChangingRows(caller.tenant, needs) : undefined;
  const out = openOutput(res);
  let checked = performance.now();
  // a kill of the agent must end the export at once
  const isStoppable = caller.principal.agent_id !== undefined;
  const assertStillAuthorized = async () => {
    if (!isStoppable && performance.now() - checked < RECHECK_MS) return;
    if (JSON.stringify(viewOf(await needs.recheck(req), query)) !== JSON.stringify(view))
      throw new Problem('forbidden', 'The permissions of the credential changed during the export.');
    checked = performance.now();
  };
  try {
    res.writeHead(200, {
      'Content-Type': MEDIA_TYPE,
      'Cache-Control': 'no-store, no-transform',
      'X-Accel-Buffering': 'no',
      'X-Content-Type-Options': 'nosniff',
      'Content-Disposition': `attachment; filename="${caller.tenant.id}.ndjson"`,
    });
    if (source) await writeFull(caller.tenant, source, out, assertStillAuthorized);
    else await writePartial(caller.tenant, { visibility, channels }, out, assertStillAuthorized);
    res.end();
  } catch (error) {
    if (!(error instanceof ClientGone)) throw error;
    res.destroy();
  } finally {
    await source?.spool.close();
  }
  return STREAMED;
}
