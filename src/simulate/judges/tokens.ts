/** Versions that programs write: each holds a token of its own, which tells later whether it was lost. */

/** What became of the versions that somebody wrote: each holds a token of its own. */
export class Tokens {
  /** Of calls that came back. */
  readonly made = new Set<string>();
  /** Somebody who saw them replaced or removed them: on his machine they are gone, elsewhere once he has published that. */
  readonly gone = new Set<string>();
  /** Those that survive power loss. */
  readonly durable = new Set<string>();
  readonly history: string[] = [];
  readonly #removed = new Set<string>();
  /** By machine: versions kept in files that were truncated and rewritten there. */
  readonly #rewritten = new Map<string, Set<string>>();
  #next = 0;

  /** The machine that made a version. */
  static makerOf(token: string): string {
    return token[1] ?? "";
  }

  /** Somebody on a machine saw the version, and replaced or removed it. */
  remove(token: string, machine: string): void {
    this.gone.add(token);
    this.#removed.add(`${machine} ${token}`);
  }

  /** At once, by who makes `by`: who dies in the middle of a call may have done what it asked for. */
  lose(lost: readonly string[], by: string): void {
    for (const old of lost) this.remove(old, Tokens.makerOf(by));
  }

  /** Notes versions kept in a file that is truncated and rewritten: a power loss may leave it truncated. */
  rewrite(kept: readonly string[], by: string): void {
    const machine = Tokens.makerOf(by);
    this.#rewritten.set(machine, new Set([...(this.#rewritten.get(machine) ?? []), ...kept]));
  }

  losePower(machine: string): void {
    for (const token of this.#rewritten.get(machine) ?? []) this.remove(token, machine);
  }

  isRemovedBy(token: string, machine: string): boolean {
    return this.#removed.has(`${machine} ${token}`);
  }

  next(agent: string): string {
    return `T${agent}${String(this.#next++).padStart(4, "0")}.`;
  }
}

export function tokensIn(text: Buffer): string[] {
  return text.toString("latin1").match(/T[a-z]\d{4}\./g) ?? [];
}
