/** Which versions a machine had made when it sealed each of its epochs. */
export class SealedEpochs {
  /** By machine, then by the epoch's number. */
  readonly #versions = new Map<string, Map<number, readonly string[]>>();

  /** An epoch that is sealed again before it is published has at least what it had at first. */
  seal(machine: string, epoch: number, versions: readonly string[]): void {
    const epochs = this.#of(machine);
    if (!epochs.has(epoch)) epochs.set(epoch, versions);
  }

  in(machine: string, epoch: number): readonly string[] {
    return this.#of(machine).get(epoch) ?? [];
  }

  /** Call when an image of the machine is made. Call the result when it is put back: later epochs' numbers are then reused. */
  mark(machine: string): () => void {
    const epochs = new Map(this.#of(machine));
    return () => void this.#versions.set(machine, epochs);
  }

  #of(machine: string): Map<number, readonly string[]> {
    const epochs = this.#versions.get(machine) ?? new Map<number, readonly string[]>();
    this.#versions.set(machine, epochs);
    return epochs;
  }
}
