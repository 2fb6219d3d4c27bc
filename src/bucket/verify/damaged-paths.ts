/** Which paths damaged blocks affect: walks only the tainted parts of a tree. */
import { unlessDamaged } from "../../base/errors.ts";
import { type Cid, type FileId, type FileName } from "../../base/ids.ts";
import { escapeForPrint, nameToText } from "../../base/names.ts";
import type { BlockReader } from "../../blocks/block-store.ts";
import { linksOf } from "../../format/blocks/links.ts";
import { parseKey } from "../../format/files/keys.ts";
import { decodeNode } from "../../format/tree/node-decoder.ts";
import { pathOfDirectory, readBackrefs } from "../../fstree/fs-reader.ts";
import type { Place } from "../../fstree/object-rows.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import type { BlockWalk } from "./block-walk.ts";

/** A damaged block and one path that uses it; undefined when the path is unknown. */
export interface DamagedPath {
  readonly cid: Cid;
  readonly path: string | undefined;
}

/** For each damaged block below `tree`, all paths that use it; for a damaged node, the directory where its rows end. */
export async function* damagedPaths(
  walk: BlockWalk,
  blocks: BlockReader,
  nodes: NodeStore,
  tree: Cid,
): AsyncGenerator<DamagedPath> {
  if (walk.damaged.has(tree)) yield { cid: tree, path: "/" };
  else if (walk.isTainted(tree)) yield* below(tree);

  async function* below(cid: Cid): AsyncGenerator<DamagedPath> {
    const node = decodeNode(await blocks.get(cid));
    for (let index = 0; index < node.count; index++) {
      if (node.level === 0) {
        const bad = await damagedBelow(walk, blocks, node.linksAt(index));
        const paths = bad.length === 0 ? [] : await pathsOfRow(nodes, tree, node.keyAt(index));
        for (const path of paths) for (const found of bad) yield { cid: found, path };
        continue;
      }
      const child = node.childAt(index);
      if (walk.damaged.has(child)) yield { cid: child, path: await directoryOf(nodes, tree, node.keyAt(index)) };
      else if (walk.isTainted(child)) yield* below(child);
    }
  }
}

/** A path as people read it. */
export function pathText(path: readonly FileName[]): string {
  return escapeForPrint(`/${path.map(nameToText).join("/")}`);
}

/** The damaged blocks that these blocks reach. */
async function damagedBelow(walk: BlockWalk, blocks: BlockReader, cids: readonly Cid[]): Promise<Cid[]> {
  const found = new Set<Cid>();
  const met = new Set<Cid>();
  const stack = [...cids];
  for (let cid = stack.pop(); cid !== undefined; cid = stack.pop()) {
    if (met.has(cid)) continue;
    met.add(cid);
    if (walk.damaged.has(cid)) found.add(cid);
    else if (walk.isTainted(cid)) stack.push(...linksOf(cid, await blocks.get(cid)));
  }
  return [...found];
}

/** All paths of the object whose record this row holds. */
async function pathsOfRow(nodes: NodeStore, tree: Cid, key: Uint8Array): Promise<(string | undefined)[]> {
  const row = parseKey(key);
  if (row.kind === "dentry") return [await pathAt(nodes, tree, { parent: row.id, name: row.name })];
  const names = (await unlessDamaged(() => readBackrefs(nodes, tree, row.id))) ?? [];
  const paths: (string | undefined)[] = [];
  for (const place of names) paths.push(await pathAt(nodes, tree, place));
  return paths.length === 0 ? [await directoryPath(nodes, tree, row.id)] : paths;
}

function directoryOf(nodes: NodeStore, tree: Cid, key: Uint8Array): Promise<string | undefined> {
  return directoryPath(nodes, tree, parseKey(key).id);
}

async function directoryPath(nodes: NodeStore, tree: Cid, id: FileId): Promise<string | undefined> {
  const path = await unlessDamaged(() => pathOfDirectory(nodes, tree, id));
  return path === undefined ? undefined : pathText(path);
}

async function pathAt(nodes: NodeStore, tree: Cid, place: Place): Promise<string | undefined> {
  const path = await unlessDamaged(() => pathOfDirectory(nodes, tree, place.parent));
  return path === undefined ? undefined : pathText([...path, place.name]);
}
