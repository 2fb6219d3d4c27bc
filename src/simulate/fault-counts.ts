/** Counts how often each fault happened: a fault that never happens tests nothing. */
export const FAULTS = [
  "request lost",
  "reply lost",
  "request twice",
  "request late",
  "hint lost",
  "partition",
  "flipped bit",
  "flipped bit on own disk",
  "kill",
  "power loss",
  "disk full",
  "bucket full",
  "clock skew",
  "days off",
  "away for days",
  "set back",
  "folder set back",
  "collection",
  "collector killed",
  "master killed",
  "master without power",
  "master's disk full",
  "master cut off",
  "swap unknown at the arbiter",
] as const;

export type Fault = (typeof FAULTS)[number];

export class FaultCounts {
  readonly #counts = new Map<Fault, number>(FAULTS.map((fault) => [fault, 0]));

  static of(entries: readonly (readonly [Fault, number])[]): FaultCounts {
    const counts = new FaultCounts();
    for (const [fault, count] of entries) counts.#counts.set(fault, count);
    return counts;
  }

  /** The sum over all faults. */
  get total(): number {
    return [...this.#counts.values()].reduce((sum, count) => sum + count, 0);
  }

  count(fault: Fault): void {
    this.#counts.set(fault, this.of(fault) + 1);
  }

  of(fault: Fault): number {
    return this.#counts.get(fault) ?? 0;
  }

  add(other: FaultCounts): void {
    for (const [fault, count] of other.entries()) this.#counts.set(fault, this.of(fault) + count);
  }

  entries(): [Fault, number][] {
    return [...this.#counts];
  }
}
