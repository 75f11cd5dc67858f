import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

/** Creates metrics for features, independent of prom-client. Names are without the prefix `agent_memory_`. */
export interface Meter {
  /** A gauge that is read at each scrape; undefined if the value is not known yet. */
  gauge(name: string, help: string, read: () => number | undefined | Promise<number>): void;
  /** A counter that is read at each scrape. */
  total(name: string, help: string, read: () => number): void;
  /** Returns a function that counts. With `by` 0 it only creates the series, so that a rate includes the first event. */
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
          // An unknown value has no series, because zero would be wrong.
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
