import type { Caller } from './auth/index.ts';
import type { Config } from './config.ts';
import type { Database } from './db/index.ts';
import type { Gate } from './http/serve.ts';
import type { Workers } from './work/index.ts';

// Settings, as the parts that they bound take them.

const MIB = 1024 * 1024;
/** An export or import in which nothing moves for so long is cut off. */
const IDLE_STREAM_MS = 30_000;
const SLOWEST_STREAM = { bytes: 64 * 1024, ms: 60_000 };
const PARALLEL_EXPORTS = 4;
/** Who is slower than this makes room when another comes. */
const FAIR_STREAM = { after_ms: 60_000, bytes_s: 64 * 1024 };

/** What the gate counts while requests are served. */
export const countersOf = (config: Config) => ({
  held: { bytes: 0, max: config.MAX_IN_FLIGHT_BYTES, byTenant: new Map<string, number>() },
  inFlight: { count: 0, max: config.MAX_IN_FLIGHT_REQUESTS, byTenant: new Map<string, number>() },
});

export const recordSettingsOf = (config: Config, workers: Workers) => ({
  ...eventLimitsOf(config),
  maxBatchBytes: config.MAX_BATCH_BYTES,
  maxSingle: config.MAX_BODY_BYTES,
  json: bodyLimitsOf(config),
  workers,
});

export const eventLimitsOf = (config: Config) => ({
  maxArtifactBytes: config.MAX_ARTIFACT_BYTES,
  maxEventBytes: config.MAX_EVENT_BYTES,
  maxTextBytes: config.MAX_BATCH_TEXT_BYTES,
});

export const bodyLimitsOf = (config: Config) => ({
  maxBytes: config.MAX_BODY_BYTES,
  maxDepth: config.MAX_JSON_DEPTH,
  maxArray: config.MAX_ARRAY_LENGTH,
  maxString: config.MAX_STRING_BYTES,
});

/** Of exports and imports. */
export const streamsOf = (config: Config, { pool }: Database, { body, held, identify }: Gate<Caller>) => ({
  json: body,
  held,
  recheck: identify,
  // row_to_json writes blanks that the limit did not count
  maxLine: 3 * config.MAX_EVENT_BYTES + MIB,
  maxBytes: config.MAX_IMPORT_BYTES,
  maxArtifactBytes: config.MAX_ARTIFACT_BYTES,
  idle_ms: IDLE_STREAM_MS,
  spool_dir: config.DATA_DIR,
  oneSession: pool.embedded,
  slowest: SLOWEST_STREAM,
  parallel: PARALLEL_EXPORTS,
  fair: FAIR_STREAM,
  lease_ms: config.JOB_LEASE_MS,
});
