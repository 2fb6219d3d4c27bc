/** Makes a path what it was in another tree of the same bucket, as changes to a draft: touches only differences. */
import type { Cid, FileId, FileName } from "../../base/ids.ts";
import type { FileRecord } from "../../format/files/record.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import { sameButCtime } from "../../fstree/same-record.ts";
import { liesInItself, listDirectory, lookup, pathOfDirectory, type TreeObject } from "../../fstree/fs-reader.ts";
import type { Draft, DraftTree } from "./draft-tree.ts";

export interface RestoreSource {
  readonly nodes: NodeStore;
  readonly tree: Cid;
  /** What is restored: hard links outside keep their bytes. Absent: everything. */
  readonly path?: readonly FileName[];
}

/** What restoring did: for people. */
export interface RestoreCounts {
  restored: number;
  removed: number;
}

export class Restorer {
  readonly counts: RestoreCounts = { restored: 0, removed: 0 };
  readonly #draft: DraftTree;
  readonly #source: RestoreSource;
  readonly #timeNs: bigint;
  /** Files with several names in the old tree are linked again. */
  readonly #linked = new Map<FileId, Draft>();
  /** The directories being restored, from the top down. */
  readonly #above = new Set<Draft | FileId>();

  constructor(draft: DraftTree, source: RestoreSource, timeNs: bigint) {
    this.#draft = draft;
    this.#source = source;
    this.#timeNs = timeNs;
  }

  /** Makes `name` in `directory` the old object, or removes it if there is none. */
  async restore(directory: Draft, name: FileName, old: TreeObject | undefined): Promise<void> {
    const now = await this.#draft.child(directory, name);
    if (old === undefined) return now === undefined ? undefined : this.remove(now, directory, name);
    const linked = this.#linked.get(old.id);
    if (linked !== undefined && linked !== now) {
      if (now !== undefined) await this.remove(now, directory, name);
      this.#draft.link(linked, directory, name);
      return;
    }
    const same = now !== undefined && (await this.#canBecome(now, old)) ? now : undefined;
    if (now !== undefined && same === undefined) await this.#makeRoom(now, directory, name, old);
    const draft = same ?? this.#create(directory, name, old.record);
    if (!sameButCtime(draft.record, old.record)) this.#set(draft, old.record);
    if (old.names.length > 1) this.#linked.set(old.id, draft);
    if (old.record.type === "directory") await this.#restoreEntries(draft, old);
  }

  /** The same for the root directory, which has no name. */
  async restoreRoot(root: Draft, old: TreeObject): Promise<void> {
    if (!sameButCtime(root.record, old.record)) this.#set(root, old.record);
    await this.#restoreEntries(root, old);
  }

  /** Removes a name, and everything below it. */
  async remove(draft: Draft, directory: Draft, name: FileName): Promise<void> {
    if (draft.record.type === "directory") {
      const names: FileName[] = [];
      for await (const each of this.#draft.names(draft)) names.push(each);
      await this.#within(draft, async () => {
        for (const each of names) {
          const child = await this.#draft.child(draft, each);
          if (child !== undefined) await this.remove(child, draft, each);
        }
      });
    }
    this.#draft.unlink(draft, directory, name);
    this.counts.removed++;
  }

  async #restoreEntries(draft: Draft, old: TreeObject): Promise<void> {
    const { nodes, tree } = this.#source;
    const wanted = new Set<FileName>();
    await this.#within(old.id, async () => {
      for await (const { name } of listDirectory(nodes, tree, old.id)) {
        wanted.add(name);
        await this.restore(draft, name, await lookup(nodes, tree, { parent: old.id, name }));
      }
    });
    const surplus: FileName[] = [];
    for await (const name of this.#draft.names(draft)) if (!wanted.has(name)) surplus.push(name);
    for (const name of surplus) await this.restore(draft, name, undefined);
  }

  /** Throws `format_invalid` if a damaged bucket's directories contain one another: the walk would never end. */
  async #within(directory: Draft | FileId, work: () => Promise<void>): Promise<void> {
    if (this.#above.has(directory)) throw liesInItself();
    this.#above.add(directory);
    await work();
    this.#above.delete(directory);
  }

  /** Whether `now` may get the old object's content: all its names would get it. */
  async #canBecome(now: Draft, old: TreeObject): Promise<boolean> {
    if (now.record.type !== old.record.type) return false;
    if (now.record.type === "directory" || now.names.length === 1) return true;
    if (now.base?.id !== old.id) return false;
    if (sameButCtime(now.record, old.record)) return true;
    return now.names.length <= old.names.length && (await this.#restoresAll(now, old));
  }

  /** Whether each name of `now` is a name of the old object that is being restored. */
  async #restoresAll(now: Draft, old: TreeObject): Promise<boolean> {
    const { nodes, tree, path = [] } = this.#source;
    const restored = new Set<string>();
    for (const { parent, name } of old.names) {
      const above = await pathOfDirectory(nodes, tree, parent);
      const whole = [...(above ?? []), name];
      if (above !== undefined && path.every((each, depth) => whole[depth] === each)) restored.add(whole.join("/"));
    }
    const names = await this.#draft.pathsOf(now);
    return names.every((each) => restored.has(each.join("/")));
  }

  /** Frees a name for a new object. */
  async #makeRoom(now: Draft, directory: Draft, name: FileName, { record }: TreeObject): Promise<void> {
    if (now.record.type !== record.type) await this.remove(now, directory, name);
    else this.#draft.unlink(now, directory, name);
  }

  #create(directory: Draft, name: FileName, record: FileRecord): Draft {
    this.counts.restored++;
    return this.#draft.create(directory, name, { ...record, ctimeNs: this.#timeNs });
  }

  #set(draft: Draft, record: FileRecord): void {
    this.counts.restored++;
    this.#draft.setRecord(draft, { ...record, ctimeNs: this.#timeNs });
    this.#draft.setContent(draft, { kind: "same" });
  }
}
