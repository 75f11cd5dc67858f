import { z } from 'zod';

// What stands beside a dump: what it must hold, and what must be there before it can be restored.

/** Of this form a restore understands all; another one it refuses. */
export const FORMAT = 1;

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const sum = z.string().regex(/^-?\d+$/);

const table = z.strictObject({ name: z.string(), rows: z.int(), hash: sum });
const tenant = z.strictObject({
  tenant_id: z.string(),
  last_seq: z.int().nullable(),
  oldest_seq: z.int().nullable(),
  events: z.int(),
  events_hash: sum,
  audit_seq: z.int(),
  audit_mac: z.string(),
});

const fingerprint = z.strictObject({ tables: z.array(table), tenants: z.array(tenant) });

export const manifest = fingerprint.extend({
  format: z.literal(FORMAT),
  made_at: z.iso.datetime(),
  /** Of the code that made it. */
  version: z.string(),
  /** 150018: PostgreSQL 15.18 */
  server: z.int(),
  database: z.string(),
  owner: z.string(),
  /** Every role that the dump mentions beside the owner. */
  roles: z.array(z.string()),
  migrations: z.array(z.strictObject({ version: z.int(), name: z.string(), hash: sha256 })),
  /** The file as it lies there, encrypted or not. */
  dump: z.strictObject({ bytes: z.int(), sha256 }),
});

export type Fingerprint = z.output<typeof fingerprint>;
export type Manifest = z.output<typeof manifest>;
