/** Counts what is below a directory of a bucket from its rows, without reading contents. */
import type { Cid, FileId } from "../../base/ids.ts";
import { listDirectory, objectOf } from "../../fstree/fs-reader.ts";
import { dentryId, dentryType } from "../../format/files/rows.ts";
import type { NodeStore } from "../../tree/node-store.ts";

export interface Contents {
  /** Files and symlinks; one with several names counts once. */
  readonly files: number;
  readonly bytes: number;
}

/** Throws `format_invalid`, and as reading nodes does. */
export async function countBelow(nodes: NodeStore, tree: Cid, directory: FileId): Promise<Contents> {
  const met = new Set([directory]);
  const left = [directory];
  const total = { files: 0, bytes: 0 };
  for (let parent = left.pop(); parent !== undefined; parent = left.pop()) {
    for await (const { name, dentry } of listDirectory(nodes, tree, parent)) {
      const type = dentryType(dentry);
      if (dentry.kind === "reference") {
        const id = dentryId(parent, name, dentry);
        if (met.has(id)) continue;
        met.add(id);
        if (type === "directory") left.push(id);
      }
      if (type !== "file" && type !== "symlink") continue;
      total.files++;
      if (type === "file") total.bytes += (await objectOf(nodes, tree, { parent, name }, dentry)).record.size;
    }
  }
  return total;
}
