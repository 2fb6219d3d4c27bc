/** Counters of a master, printed as OpenMetrics text (https://prometheus.io/docs/specs/om/open_metrics_spec/). No wallets, no names. */

export class Metrics {
  readonly #families = new Map<string, Family>();

  /** Adds to a counter; `labels` are few and set by the program, never by callers. */
  count(name: string, help: string, labels: Labels, amount = 1): void {
    const samples = this.#family(name, "counter", help);
    const key = labelText(labels);
    samples.values.set(key, (samples.values.get(key) ?? 0) + amount);
  }

  /** A value that is read on demand. */
  gauge(name: string, help: string, read: () => number): void {
    this.#family(name, "gauge", help).read = read;
  }

  /** Adds to a histogram of seconds. */
  observe(name: string, help: string, labels: Labels, seconds: number): void {
    const { histograms } = this.#family(name, "histogram", help);
    const key = labelText(labels);
    let histogram = histograms.get(key);
    if (histogram === undefined)
      histograms.set(key, (histogram = { labels, buckets: BOUNDS.map(() => 0), sum: 0, count: 0 }));
    histogram.sum += seconds;
    histogram.count++;
    for (const [index, bound] of BOUNDS.entries())
      if (seconds <= bound) histogram.buckets[index] = (histogram.buckets[index] ?? 0) + 1;
  }

  print(): string {
    const lines: string[] = [];
    for (const [name, family] of this.#families) {
      lines.push(`# TYPE ${name} ${family.type}`, `# HELP ${name} ${family.help}`, ...samplesOf(name, family));
    }
    return `${lines.join("\n")}\n# EOF\n`;
  }

  #family(name: string, type: Family["type"], help: string): Family {
    let family = this.#families.get(name);
    if (family === undefined) {
      family = { type, help, values: new Map(), histograms: new Map(), read: undefined };
      this.#families.set(name, family);
    }
    return family;
  }
}

export type Labels = Readonly<Record<string, string>>;

export const OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8";

interface Histogram {
  readonly labels: Labels;
  readonly buckets: number[];
  sum: number;
  count: number;
}

interface Family {
  readonly type: "counter" | "gauge" | "histogram";
  readonly help: string;
  readonly values: Map<string, number>;
  readonly histograms: Map<string, Histogram>;
  read: (() => number) | undefined;
}

/** Upper bounds in seconds. */
const BOUNDS = [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10];

function samplesOf(name: string, family: Family): string[] {
  if (family.type === "gauge") return [`${name} ${family.read?.() ?? 0}`];
  if (family.type === "counter") return [...family.values].map(([labels, value]) => `${name}_total${labels} ${value}`);
  return [...family.histograms.values()].flatMap((histogram) => linesOf(name, histogram));
}

function linesOf(name: string, { labels, buckets, sum, count }: Histogram): string[] {
  const bucket = (bound: string, value: number) => `${name}_bucket${labelText({ ...labels, le: bound })} ${value}`;
  return BOUNDS.map((bound, index) => bucket(String(bound), buckets[index] ?? 0)).concat(
    bucket("+Inf", count),
    `${name}_sum${labelText(labels)} ${sum}`,
    `${name}_count${labelText(labels)} ${count}`,
  );
}

function labelText(labels: Labels): string {
  const parts = Object.entries(labels).map(([key, value]) => `${key}="${value.replaceAll(/[\\"\n]/g, "_")}"`);
  return parts.length === 0 ? "" : `{${parts.join(",")}}`;
}
