/** Versions that programs write: each holds a unique token, which later tells whether it was lost. */

/** What became of the versions, by token. */
export class Tokens {
  /** Versions made by calls that returned. */
  readonly made = new Set<string>();
  /** Replaced or removed by a program that saw them: gone on its machine, and elsewhere once that is published. */
  readonly gone = new Set<string>();
  /** Versions that survive power loss. */
  readonly durable = new Set<string>();
  readonly history: string[] = [];
  readonly #removed = new Set<string>();
  /** By machine: versions kept in files that were truncated and rewritten there. */
  readonly #rewritten = new Map<string, Set<string>>();
  /** By machine: versions that it had not synced when it lost power. */
  readonly #unsynced = new Map<string, Set<string>>();
  #next = 0;

  /** The machine that made a version. */
  static makerOf(token: string): string {
    return token[1] ?? "";
  }

  /** Notes that a program on the machine saw the version and replaced or removed it. */
  remove(token: string, machine: string): void {
    this.gone.add(token);
    this.#removed.add(`${machine} ${token}`);
  }

  /** Called before the call returns: if the maker of `by` dies during the call, it may still have taken effect. */
  lose(lost: readonly string[], by: string): void {
    for (const old of lost) this.remove(old, Tokens.makerOf(by));
  }

  /** Notes versions kept in a file that is truncated and rewritten: a power loss may leave it truncated. */
  rewrite(kept: readonly string[], by: string): void {
    const machine = Tokens.makerOf(by);
    this.#rewritten.set(machine, new Set([...(this.#rewritten.get(machine) ?? []), ...kept]));
  }

  madeBy(machine: string): string[] {
    return of(this.made, machine);
  }

  losePower(machine: string): void {
    for (const token of this.#rewritten.get(machine) ?? []) this.remove(token, machine);
    const unsynced = this.madeBy(machine).filter((token) => !this.durable.has(token));
    this.#unsynced.set(machine, new Set([...(this.#unsynced.get(machine) ?? []), ...unsynced]));
    for (const token of unsynced) this.made.delete(token);
  }

  /**
   * Notes that a program on the machine wrote over zeros. Where a power loss left them, the write may replace a version that
   * the bucket has and the program could not see.
   */
  overwriteZeros(machine: string): void {
    for (const token of this.#unsynced.get(machine) ?? []) this.#removed.add(`${machine} ${token}`);
  }

  isRemovedBy(token: string, machine: string): boolean {
    return this.#removed.has(`${machine} ${token}`);
  }

  /**
   * Call when an image of a machine is made. Call the result when the image is put back: versions made there since may then
   * be missing, unless they are in the bucket.
   */
  mark(machine: string): (isInBucket: (version: string) => boolean) => void {
    const versions = [this.made, this.durable];
    const before = versions.map((each) => new Set(of(each, machine)));
    return (isInBucket) => {
      for (const [index, each] of versions.entries())
        for (const token of of(each, machine))
          if (before[index]?.has(token) !== true && !isInBucket(token)) each.delete(token);
    };
  }

  next(agent: string): string {
    return `T${agent}${String(this.#next++).padStart(4, "0")}.`;
  }
}

function of(versions: ReadonlySet<string>, machine: string): string[] {
  return [...versions].filter((token) => Tokens.makerOf(token) === machine);
}

export function tokensIn(text: Buffer): string[] {
  return text.toString("latin1").match(/T[a-z]\d{4}\./g) ?? [];
}
