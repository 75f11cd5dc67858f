// What a hostile text costs. The texts are so long that a cost that grows with the square of the length is minutes to days of the
// processor, and one that grows with the length is less than a second: the bound between is far from both, however slow the machine.

export const QUADRATIC_MS = 10_000;

/** Time of the processor: what runs beside the test is not counted. */
export function cpuMsOf(work: () => unknown): number {
  const started = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(started);
  return (user + system) / 1_000;
}
