/** Finds what a command moved, removed or restored where others' concurrent moves have put it. */
import type { Cid } from "../../base/ids.ts";
import { PUBLISH_NODE_CACHE_BYTES } from "../../base/limits.ts";
import { pathOfDirectory, readObject, resolvePath } from "../../fstree/fs-reader.ts";
import { samePlace } from "../../fstree/object-rows.ts";
import { NodeStore } from "../../tree/node-store.ts";
import type { Bucket } from "../bucket.ts";
import type { VerifiedCommit } from "../verified-commit.ts";
import type { Path } from "../writer.ts";

export class Elsewhere {
  readonly #nodes: NodeStore;
  readonly #base: Cid;
  readonly #published: Cid;

  private constructor(nodes: NodeStore, base: Cid, published: Cid) {
    this.#nodes = nodes;
    this.#base = base;
    this.#published = published;
  }

  /** `base`: the commit that the command started from. `published`: the root that has its changes. */
  static async open(bucket: Bucket, base: VerifiedCommit, published: Cid): Promise<Elsewhere> {
    const nodes = new NodeStore(bucket.blocks, { capacityBytes: PUBLISH_NODE_CACHE_BYTES });
    return new Elsewhere(nodes, base.body.tree, (await bucket.commit(published)).body.tree);
  }

  /** Where the object is now that `path` led to, if not at `expected`. Undefined: there, or gone. */
  async of(path: Path, expected?: Path): Promise<Path | undefined> {
    const now = await this.#pathsOf(path);
    return expected !== undefined && now.some((each) => isSame(each, expected)) ? undefined : now[0];
  }

  /** The same for what was moved to `to`. A file that replaced another became that file. */
  async ofMoved(path: Path, to: Path): Promise<Path | undefined> {
    const isGone = (await this.of(path)) === undefined;
    return this.of(isGone ? to : path, to);
  }

  /** The paths now of the object that `path` led to, without its other hard links. */
  async #pathsOf(path: Path): Promise<Path[]> {
    const old = await resolvePath(this.#nodes, this.#base, path);
    const above = await resolvePath(this.#nodes, this.#base, path.slice(0, -1));
    const name = path.at(-1);
    if (old === undefined || above === undefined || name === undefined) return [];
    const place = { parent: above.id, name };
    const now = await readObject(this.#nodes, this.#published, old.id, place);
    const paths: Path[] = [];
    for (const each of now?.names ?? []) {
      if (!samePlace(each, place) && old.names.some((other) => samePlace(each, other))) continue;
      const directory = await pathOfDirectory(this.#nodes, this.#published, each.parent);
      if (directory !== undefined) paths.push([...directory, each.name]);
    }
    return paths;
  }
}

function isSame(a: Path, b: Path): boolean {
  return a.length === b.length && a.every((name, depth) => name === b[depth]);
}
