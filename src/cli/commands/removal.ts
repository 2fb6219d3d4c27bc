/**
 * Removes paths of a bucket: in one commit, or very many in portions of one commit each, which bounds memory. Removes what was
 * there at the beginning: what others change meanwhile stays.
 */
import type { Cid } from "../../base/ids.ts";
import { PUBLISH_NODE_CACHE_BYTES, PUT_PORTION_THINGS } from "../../base/limits.ts";
import type { VerifiedCommit } from "../../bucket/verified-commit.ts";
import type { BucketWriter, Path } from "../../bucket/writer.ts";
import { Elsewhere } from "../../bucket/writer/elsewhere.ts";
import { noSuchPath } from "../../bucket/writer/path-errors.ts";
import { listDirectory, lookup, resolvePath, type TreeObject } from "../../fstree/fs-reader.ts";
import { UnitRules } from "../../fstree/merge/units/unit-rules.ts";
import { sameRecord } from "../../fstree/same-record.ts";
import { NodeStore } from "../../tree/node-store.ts";
import { type PortionOptions, PortionWriter, type PublishedPortions } from "./portion-writer.ts";

export interface RemovalOptions extends PortionOptions {
  /** Called with the number of names removed so far. */
  readonly removing?: (removed: number) => void;
  /** How many names fill a portion. */
  readonly portion?: number;
}

export class Removal implements AsyncDisposable {
  removed = 0;
  /** Names that the bucket no longer has. */
  published = 0;
  /**
   * Paths that stay since others changed them: between two portions, with the directories above these; or while a portion was
   * on its way, then the path given to `remove`. Complete after `finish`.
   */
  readonly kept: Path[] = [];
  /** Paths given to `remove` whose object others moved, so that it is at another path now. Complete after `finish`. */
  readonly moved: { readonly path: Path; readonly now: Path }[] = [];
  readonly #given: Path[] = [];
  readonly #options: RemovalOptions;
  readonly #portion: number;
  readonly #units: UnitRules;
  /** The commit at the beginning. */
  readonly #base: VerifiedCommit;
  readonly #nodes: NodeStore;
  readonly #portions: PortionWriter;

  private constructor(options: RemovalOptions, units: UnitRules) {
    this.#options = options;
    this.#portion = options.portion ?? PUT_PORTION_THINGS;
    this.#units = units;
    const { bucket, writer } = options.session;
    this.#nodes = new NodeStore(bucket.blocks, { capacityBytes: PUBLISH_NODE_CACHE_BYTES });
    this.#base = writer.base;
    this.#portions = new PortionWriter(options);
  }

  static async begin(options: RemovalOptions): Promise<Removal> {
    const { bucket, writer } = options.session;
    return new Removal(options, new UnitRules((await bucket.policy(writer.base)).units));
  }

  /** Removes a path and everything below it, publishing each full portion on the way. Throws `no_such_path`. */
  async remove(path: Path): Promise<void> {
    const seen = await resolvePath(this.#nodes, this.#tree, path);
    if (seen === undefined) throw noSuchPath(path);
    this.#given.push(path);
    await this.#remove(path, seen, false);
  }

  /** Publishes what is left to publish, and finds out what others moved or brought back meanwhile. */
  async finish(): Promise<PublishedPortions> {
    const published = await this.publish();
    const elsewhere = new Elsewhere(this.#options.session.bucket, this.#base, published.root.commit);
    for (const path of this.#given) {
      if ((await elsewhere.has(path)) && !this.kept.includes(path)) this.kept.push(path);
      const now = await elsewhere.of(path, path);
      if (now !== undefined) this.moved.push({ path, now });
    }
    return published;
  }

  /** Publishes what is removed so far. */
  async publish(): Promise<PublishedPortions> {
    const published = await this.#portions.publish();
    this.published = this.removed;
    return published;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#portions[Symbol.asyncDispose]();
  }

  /** `isWhole`: the path is in a repository, which goes in one portion. */
  async #remove(path: Path, seen: TreeObject, isWhole: boolean): Promise<void> {
    if (seen.record.type === "directory") await this.#empty(path, seen, isWhole);
    const now = await this.#writer.record(path);
    if (now === undefined) return;
    const isUnseen =
      now.type === "directory"
        ? (await this.#writer.names(path))?.length !== 0
        : this.#isLater && !sameRecord(now, seen.record);
    if (isUnseen) this.kept.push(path);
    else await this.#take(path);
  }

  async #empty(path: Path, { id }: TreeObject, isWhole: boolean): Promise<void> {
    for await (const { name } of listDirectory(this.#nodes, this.#tree, id)) {
      if (!isWhole && this.removed - this.published >= this.#portion) {
        await this.publish();
        await this.#portions.next();
      }
      const seen = await lookup(this.#nodes, this.#tree, { parent: id, name });
      if (seen !== undefined) await this.#remove([...path, name], seen, isWhole || this.#units.isTree(name));
    }
  }

  get #tree(): Cid {
    return this.#base.body.tree;
  }

  get #writer(): BucketWriter {
    return this.#portions.writer;
  }

  /** Whether others may have published since the beginning. */
  get #isLater(): boolean {
    return this.#writer.base.body.tree !== this.#tree;
  }

  async #take(path: Path): Promise<void> {
    this.removed += await this.#writer.remove(path);
    this.#options.removing?.(this.removed);
  }
}
