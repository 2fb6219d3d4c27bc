/** Programs that have files open for reading: they must see one version of each, whatever others do. */
import type { Ino } from "../../src/base/ids.ts";
import { hasCode } from "../../src/base/errors.ts";
import { VfsDriver } from "../../src/simulate/vfs-driver.ts";
import { FsError, type Readers } from "../../src/vfs/filesystem.ts";
import type { Vfs } from "../../src/vfs/vfs.ts";
import type { SimulatedAgent } from "./simulated-agent.ts";

export class ReadingPrograms implements Readers {
  readonly #agent: SimulatedAgent;
  readonly #seen = new Map<Ino, Buffer>();
  #vfs: Vfs;

  constructor(agent: SimulatedAgent) {
    this.#agent = agent;
    this.#vfs = agent.vfs;
  }

  has(ino: Ino): boolean {
    return this.#seen.has(ino);
  }

  all(): Iterable<Ino> {
    return [...this.#seen.keys()];
  }

  /** Opens a file, as it is now. */
  async open(ino: Ino): Promise<void> {
    this.#vfs = this.#agent.vfs;
    this.#vfs.watchReaders(this);
    const bytes = await this.read(ino);
    if (bytes !== undefined) this.#seen.set(ino, bytes);
  }

  /** Opens all files that have no unpublished changes. */
  async openAll(): Promise<void> {
    this.closeAll();
    const known = Array.from(this.#agent.vfs.knownInodes());
    for (const ino of known) if (!this.#agent.isChanged(ino)) await this.open(ino);
  }

  /** Undefined: it is not a file, or cannot be read now. */
  async read(ino: Ino): Promise<Buffer | undefined> {
    try {
      return await new VfsDriver(this.#vfs).read(ino);
    } catch (error) {
      if (error instanceof FsError || hasCode(error, "store_unreachable")) return undefined;
      throw error;
    }
  }

  close(ino: Ino): void {
    this.#seen.delete(ino);
    this.#vfs.forget(ino);
  }

  closeAll(): void {
    for (const ino of this.all()) this.close(ino);
  }

  /** The agent is killed and replaced under the programs. */
  async replaceAgent(): Promise<void> {
    if (this.isStale()) this.#seen.clear();
    await this.#agent.replace(this);
    this.#vfs = this.#agent.vfs;
  }

  /** A restarted agent does not know what is open. */
  isStale(): boolean {
    return this.#vfs !== this.#agent.vfs;
  }

  /** The files that show anything else now, apart from bytes added to the end. */
  async changed(): Promise<Ino[]> {
    const changed: Ino[] = [];
    if (this.isStale()) this.#seen.clear();
    for (const [ino, bytes] of this.#seen) {
      const now = await this.read(ino);
      if (now !== undefined && !now.subarray(0, bytes.length).equals(bytes)) changed.push(ino);
    }
    return changed;
  }
}
