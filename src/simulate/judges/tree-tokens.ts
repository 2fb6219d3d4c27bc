/** The versions in a tree: the tokens in its files and symlinks. */
import type { Cid } from "../../base/ids.ts";
import type { BlockReader } from "../../blocks/block-store.ts";
import { listDirectory, lookup, resolvePath, type TreeObject } from "../../fstree/fs-reader.ts";
import type { Path } from "../../bucket/writer.ts";
import { ChunkCache } from "../../content/chunk-cache.ts";
import { readContent } from "../../content/read.ts";
import { isLinked } from "../../format/blocks/linked-value.ts";
import type { FileRecord } from "../../format/files/record.ts";
import { NodeStore } from "../../tree/node-store.ts";
import { tokensIn } from "./tokens.ts";

/** The tokens at a path and below it; none if the path does not exist. */
export async function tokensUnder(blocks: BlockReader, tree: Cid, path: Path): Promise<string[]> {
  const nodes = new NodeStore(blocks, { capacityBytes: CACHE_BYTES });
  const content = new ChunkCache(blocks, { capacityBytes: CACHE_BYTES });
  const visit = async ({ id, record }: TreeObject): Promise<string[]> => {
    if (record.type !== "directory") return tokensIn(await versionBytes(content, record));
    const tokens: string[] = [];
    for await (const { name } of listDirectory(nodes, tree, id)) {
      const found = await lookup(nodes, tree, { parent: id, name });
      if (found !== undefined) tokens.push(...(await visit(found)));
    }
    return tokens;
  };
  const top = await resolvePath(nodes, tree, path);
  return top === undefined ? [] : visit(top);
}

/** A file's bytes, or a symlink's target. */
export async function versionBytes(
  content: ChunkCache,
  { type, content: stored, size, target }: FileRecord,
): Promise<Buffer> {
  if (type === "symlink") return Buffer.from(isLinked(target) ? "" : target, "latin1");
  return Buffer.from(await readContent(content, stored, size, 0, size));
}

const CACHE_BYTES = 1024 * 1024;
