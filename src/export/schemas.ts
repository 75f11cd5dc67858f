import { z } from 'zod';
import { time } from '../http/time.ts';
import { count, idOf, name, seq } from '../portable.ts';
import { tenantSettings } from '../tenants/index.ts';
import { FORMAT_VERSION } from './full.ts';

// The lines of an export that are not rows of a feature.

export const header = z.strictObject({
  type: z.literal('header'),
  format: z.literal('agent-memory'),
  format_version: z.literal([1, FORMAT_VERSION]),
  tenant_id: name,
  created_at: time,
  partial: z.literal(false, 'an export of what one member may see cannot be imported'),
  as_of_seq: count,
  oldest_seq: seq,
  stored_bytes: count,
  counts: z.record(z.string().max(64), count),
});
export type Header = z.output<typeof header>;

export const tenantLine = z.strictObject({
  type: z.literal('tenant'),
  language: z.string().regex(/^[a-z_]{1,63}$/),
  settings: tenantSettings,
});
export type TenantLine = z.output<typeof tenantLine>;

export const piece = z.strictObject({
  type: z.literal('piece'),
  artifact_id: idOf('art'),
  at: z.int().min(0),
  base64: z.base64().max(128 * 1024),
});

export const end = z.strictObject({
  type: z.literal('end'),
  counts: z.record(z.string().max(64), count),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
});

export const imported = z
  .object({
    job_id: z.string().describe('The job that builds the passages. Search reports `partial_index` until it is done.'),
    as_of_seq: z.int().describe('The last position of the log after the import.'),
    counts: z.record(z.string(), z.int()).describe('Number of lines by type.'),
  })
  .meta({ id: 'Imported' });
