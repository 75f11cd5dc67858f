import { z } from 'zod';

// The manifest of a dump: the expected content, and the requirements of a restore.

/** Version of the manifest format. A restore rejects other versions. */
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
  /** Version of the code that made the backup. */
  version: z.string(),
  /** 150018: PostgreSQL 15.18 */
  server: z.int(),
  database: z.string(),
  owner: z.string(),
  /** Roles that the dump refers to, without the owner. */
  roles: z.array(z.string()),
  migrations: z.array(z.strictObject({ version: z.int(), name: z.string(), hash: sha256 })),
  /** Size and hash of the dump file, encrypted or not. */
  dump: z.strictObject({ bytes: z.int(), sha256 }),
});

export type Fingerprint = z.output<typeof fingerprint>;
export type Manifest = z.output<typeof manifest>;
