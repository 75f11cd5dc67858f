// Bounds the cost of hostile texts. The texts are so long that quadratic work takes minutes to days of CPU time, and linear work less than a
// second. The bound is far from both, however slow the machine is.

export const QUADRATIC_MS = 10_000;

/** Returns the CPU time of the work in ms, which does not include other processes. */
export function cpuMsOf(work: () => unknown): number {
  const started = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(started);
  return (user + system) / 1_000;
}
