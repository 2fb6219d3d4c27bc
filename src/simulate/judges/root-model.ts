/**
 * Checks each root as it is published, with plain sets written from docs/design/merge.md. Each version of the previous
 * root, and each that the publisher had sealed, must be there, in its file or a conflict copy, unless the publisher saw and
 * removed or replaced it, or an earlier root lost it so (laws 3, 4). Each directory is at one place, reached from the root
 * directory (law 7).
 */
import type { Clock } from "../../base/clock.ts";
import { SerialQueue } from "../../base/concurrency.ts";
import { type Cid, type FileId, ROOT_ID, type WriterId } from "../../base/ids.ts";
import { nameToText } from "../../base/names.ts";
import { Bucket } from "../../bucket/bucket.ts";
import { listDirectory, lookup } from "../../fstree/fs-reader.ts";
import type { BucketRemote } from "../../bucket/remote.ts";
import { ChunkCache } from "../../content/chunk-cache.ts";
import { NodeStore } from "../../tree/node-store.ts";
import type { Beginning } from "../beginning.ts";
import { Tokens, tokensIn } from "./tokens.ts";
import { RetentionJudge } from "./retention-judge.ts";
import { versionBytes } from "./tree-tokens.ts";

export interface RootModelOptions {
  readonly remote: BucketRemote;
  readonly beginning: Beginning;
  readonly tokens: Tokens;
  readonly clock: Clock;
  /** The machine that a device belongs to; undefined: none. */
  readonly machineOf: (writer: WriterId) => string | undefined;
}

export class RootModel {
  readonly faults: string[] = [];
  readonly #remote: BucketRemote;
  readonly #nodes: NodeStore;
  readonly #content: ChunkCache;
  readonly #retention: RetentionJudge;
  readonly #checks = new SerialQueue();
  readonly #options: RootModelOptions;
  #present: ReadonlySet<string> = new Set();
  /** Versions that any root had. */
  readonly #published = new Set<string>();
  /** The policy's globs of text, which must never shrink. */
  #globs: readonly string[] = [];
  /** Versions that roots lost because their publishers had removed them. */
  readonly #dropped = new Set<string>();

  constructor(options: RootModelOptions) {
    this.#options = options;
    this.#remote = options.remote;
    this.#nodes = new NodeStore(this.#remote.blocks, { capacityBytes: CACHE_BYTES });
    this.#retention = new RetentionJudge(this.#nodes);
    this.#content = new ChunkCache(this.#remote.blocks, { capacityBytes: CACHE_BYTES });
  }

  /** Called when there is a new root. */
  rootMoved(): Promise<void> {
    return this.#checks.run(async () => {
      try {
        await this.#check();
      } catch (error) {
        this.faults.push(`a root cannot be read: ${error instanceof Error ? error.message : String(error)}`);
      }
    });
  }

  /** Checks that the root has the versions that a machine had sealed. */
  published(who: string, sealed: readonly string[]): void {
    // A power loss may have removed some versions, and the epoch's number may be reused.
    const { made } = this.#options.tokens;
    this.#expect(
      `what ${who} published lacks`,
      sealed.filter((version) => made.has(version)),
      who,
    );
  }

  async #check(): Promise<void> {
    const { checks } = this.#options.beginning;
    const bucket = await Bucket.open(this.#remote, { blocks: this.#remote.blocks, checks });
    const { commit } = await bucket.head();
    const { cid, body } = commit;
    const { text } = await bucket.policy(commit);
    const forgotten = this.#globs.filter((glob) => !text.includes(glob));
    if (forgotten.length > 0) this.faults.push(`the policy of root ${cid} forgets ${forgotten.join()}`);
    this.#globs = text;
    this.faults.push(...(await this.#retention.note(commit, this.#options.clock.nowNs())));
    const before = this.#present;
    this.#present = await this.#read(body.tree);
    for (const version of this.#present) this.#published.add(version);
    this.#expect(`root ${cid} lacks`, before, this.#options.machineOf(body.writer));
  }

  wasPublished(version: string): boolean {
    return this.#published.has(version);
  }

  /** Whether a version may be missing at the end. */
  isDropped(version: string): boolean {
    return this.#dropped.has(version) || this.#options.tokens.isRemovedBy(version, Tokens.makerOf(version));
  }

  #expect(what: string, versions: Iterable<string>, publisher = "nobody"): void {
    const { tokens } = this.#options;
    for (const version of versions) {
      if (this.#present.has(version) || this.#dropped.has(version)) continue;
      if (tokens.isRemovedBy(version, publisher)) this.#dropped.add(version);
      else this.faults.push(`${what} ${version}, which ${publisher} did not remove`);
    }
  }

  async #read(tree: Cid): Promise<Set<string>> {
    const present = new Set<string>();
    const directories = new Set<FileId>();
    const visit = async (directory: FileId, path: string): Promise<void> => {
      if (directories.has(directory)) return void this.faults.push(`directory ${path} is in two places`);
      directories.add(directory);
      for await (const { name } of listDirectory(this.#nodes, tree, directory)) {
        const inside = `${path}/${nameToText(name)}`;
        const object = await lookup(this.#nodes, tree, { parent: directory, name });
        if (object === undefined) this.faults.push(`${inside} leads to nothing`);
        else if (object.record.type === "directory") await visit(object.id, inside);
        else for (const token of tokensIn(await versionBytes(this.#content, object.record))) present.add(token);
      }
    };
    await visit(ROOT_ID, "");
    return present;
  }
}

const CACHE_BYTES = 1024 * 1024;
