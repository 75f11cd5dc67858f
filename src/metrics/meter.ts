import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

/** How features make their figures, without knowing prom-client. Names are given without `agent_memory_`. */
export interface Meter {
  /** Read at each scrape; undefined: not known yet. */
  gauge(name: string, help: string, read: () => number | undefined | Promise<number>): void;
  /** A number that only grows, read at each scrape. */
  total(name: string, help: string, read: () => number): void;
  /** What it returns counts; `by` 0 makes the series, so that a rate over it begins at zero. */
  counter<L extends string>(name: string, help: string, labels: L[]): (of: Record<L, string>, by?: number) => void;
  histogram(name: string, help: string, buckets: number[]): (value: number) => void;
}

export function openMeter(registry: Registry): Meter {
  const named = (name: string, help: string) => ({ name: `agent_memory_${name}`, help, registers: [registry] });
  return {
    gauge: (name, help, read) =>
      void new Gauge({
        ...named(name, help),
        async collect() {
          const value = await read();
          // no series says more than a zero where nothing is known yet
          if (value === undefined) this.remove();
          else this.set(value);
        },
      }),
    total: (name, help, read) =>
      void new Counter({
        ...named(name, help),
        collect() {
          this.reset();
          this.inc(read());
        },
      }),
    counter: <L extends string>(name: string, help: string, labelNames: L[]) => {
      const counter = new Counter({ ...named(name, help), labelNames });
      return (of: Record<L, string>, by = 1) => counter.inc(of, by);
    },
    histogram: (name, help, buckets) => {
      const histogram = new Histogram({ ...named(name, help), buckets });
      return (value) => histogram.observe(value);
    },
  };
}
