import type { Config } from '../config.ts';

const MIB = 1024 * 1024;
/** An export or import in which nothing moves for so long is cut off. */
const IDLE_STREAM_MS = 30_000;
const SLOWEST_STREAM = { bytes: 64 * 1024, ms: 60_000 };
const PARALLEL_EXPORTS = 4;
/** Who is slower than this makes room when another comes. */
const FAIR_STREAM = { after_ms: 60_000, bytes_s: 64 * 1024 };

/** Bounds of exports and imports. */
export const streamLimits = (config: Config, oneSession: boolean) => ({
  // row_to_json writes blanks that the limit did not count
  maxLine: 3 * config.MAX_EVENT_BYTES + MIB,
  maxBytes: config.MAX_IMPORT_BYTES,
  maxArtifactBytes: config.MAX_ARTIFACT_BYTES,
  idle_ms: IDLE_STREAM_MS,
  spool_dir: config.DATA_DIR,
  oneSession,
  slowest: SLOWEST_STREAM,
  parallel: PARALLEL_EXPORTS,
  fair: FAIR_STREAM,
  lease_ms: config.JOB_LEASE_MS,
});
