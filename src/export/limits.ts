import type { Config } from '../config.ts';

const MIB = 1024 * 1024;
/** An export or import without progress for this time is aborted. */
const IDLE_STREAM_MS = 30_000;
const SLOWEST_STREAM = { bytes: 64 * 1024, ms: 60_000 };
const PARALLEL_EXPORTS = 4;
/** A slower transfer can be evicted for a new one. */
const EVICTION = { after_ms: 60_000, bytes_s: 64 * 1024 };

/** Returns the limits of exports and imports. */
export const streamLimits = (config: Config, oneSession: boolean) => ({
  // row_to_json adds whitespace that the request limit did not count
  maxLine: 3 * config.MAX_EVENT_BYTES + MIB,
  maxBytes: config.MAX_IMPORT_BYTES,
  maxArtifactBytes: config.MAX_ARTIFACT_BYTES,
  idle_ms: IDLE_STREAM_MS,
  spool_dir: config.DATA_DIR,
  oneSession,
  slowest: SLOWEST_STREAM,
  parallel: PARALLEL_EXPORTS,
  eviction: EVICTION,
  lease_ms: config.JOB_LEASE_MS,
});
