/**
 * Others may move an object while a command moves, removes or restores it: this finds where it is now. The command has
 * published its change by then, so it does not fail if the storage cannot be read any more. It just cannot say.
 */
import { SynclineError } from "../../base/errors.ts";
import type { Cid } from "../../base/ids.ts";
import { PUBLISH_NODE_CACHE_BYTES } from "../../base/limits.ts";
import { pathOfDirectory, readObject, resolvePath } from "../../fstree/fs-reader.ts";
import { samePlace } from "../../fstree/object-rows.ts";
import { NodeStore } from "../../tree/node-store.ts";
import type { Bucket } from "../bucket.ts";
import type { VerifiedCommit } from "../verified-commit.ts";
import type { Path } from "../writer.ts";

export class Elsewhere {
  readonly #bucket: Pick<Bucket, "blocks" | "commit">;
  readonly #nodes: NodeStore;
  readonly #base: Cid;
  readonly #published: Cid;

  /** `base`: the commit that the command started from. `published`: the root that has its changes. */
  constructor(bucket: Pick<Bucket, "blocks" | "commit">, base: VerifiedCommit, published: Cid) {
    this.#bucket = bucket;
    this.#nodes = new NodeStore(bucket.blocks, { capacityBytes: PUBLISH_NODE_CACHE_BYTES });
    this.#base = base.body.tree;
    this.#published = published;
  }

  /** Whether something is at this path now. */
  async has(path: Path): Promise<boolean> {
    const found = await this.#look((tree) => resolvePath(this.#nodes, tree, path));
    return found !== undefined;
  }

  /** Where the object is now that `path` led to, if not at `expected`. Undefined: there, or gone. */
  async of(path: Path, expected?: Path): Promise<Path | undefined> {
    const now = (await this.#look((tree) => this.#pathsOf(path, tree))) ?? [];
    return expected !== undefined && now.some((each) => isSame(each, expected)) ? undefined : now[0];
  }

  /** As `of`, for an object that was moved to `to`. If it replaced a file there, it has that file's id now. */
  async ofMoved(path: Path, to: Path): Promise<Path | undefined> {
    const isGone = (await this.of(path)) === undefined;
    return this.of(isGone ? to : path, to);
  }

  /** `work` gets the published tree. Undefined if the storage fails. */
  async #look<Found>(work: (tree: Cid) => Promise<Found>): Promise<Found | undefined> {
    try {
      return await work((await this.#bucket.commit(this.#published)).body.tree);
    } catch (error) {
      if (error instanceof SynclineError) return undefined;
      throw error;
    }
  }

  /** The paths now of the object that `path` led to, without its other hard links. */
  async #pathsOf(path: Path, tree: Cid): Promise<Path[]> {
    const old = await resolvePath(this.#nodes, this.#base, path);
    const above = await resolvePath(this.#nodes, this.#base, path.slice(0, -1));
    const name = path.at(-1);
    if (old === undefined || above === undefined || name === undefined) return [];
    const place = { parent: above.id, name };
    const now = await readObject(this.#nodes, tree, old.id, place);
    const paths: Path[] = [];
    for (const each of now?.names ?? []) {
      if (!samePlace(each, place) && old.names.some((other) => samePlace(each, other))) continue;
      const directory = await pathOfDirectory(this.#nodes, tree, each.parent);
      if (directory !== undefined) paths.push([...directory, each.name]);
    }
    return paths;
  }
}

function isSame(a: Path, b: Path): boolean {
  return a.length === b.length && a.every((name, depth) => name === b[depth]);
}
