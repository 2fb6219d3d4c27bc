/** Copying out of a bucket that somebody made to harm who copies it. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { FileId } from "../../../../src/base/ids.ts";
import { ROOT_ID } from "../../../../src/base/ids.ts";
import { readObject } from "../../../../src/fstree/fs-reader.ts";
import type { TreeObject } from "../../../../src/fstree/fs-reader.ts";
import type { BucketReader } from "../../../../src/cli/commands/bucket-reader.ts";
import { CopyOut } from "../../../../src/cli/commands/copy-out.ts";
import { birthId, dentryKey, selfKey } from "../../../../src/format/files/keys.ts";
import { encodeDentry, encodeSelf } from "../../../../src/format/files/rows.ts";
import { openRealDisk } from "../../../../src/sync/disk/real-disk.ts";
import { buildTree } from "../../../../src/tree/edit.ts";
import { createTreeConfig } from "../../../../src/tree/boundary.ts";
import { NodeStore } from "../../../../src/tree/node-store.ts";
import { BlockMap } from "../../../support/block-map.ts";
import { name, recordOf } from "../../../support/epochs.ts";
import { createFakeRuntime } from "../../../support/fake-runtime.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

test("a directory that lies in itself is copied once and reported as an error", async () => {
  const noLink = () => expect.unreachable();
  const inner = birthId(ROOT_ID, name("d"), "directory", 0);
  const record = recordOf("directory");
  const row = (id: FileId, place: { parent: FileId; name: ReturnType<typeof name> } | undefined) => {
    return { key: selfKey(id), ...encodeSelf({ kind: "directory", record, place, subdirs: 1 }, noLink) };
  };
  const entry = (parent: FileId, text: string) => {
    const dentry = { kind: "reference", type: "directory", id: inner } as const;
    return { key: dentryKey(parent, name(text)), ...encodeDentry(dentry, noLink) };
  };
  const rows = [
    row(ROOT_ID, undefined),
    row(inner, { parent: ROOT_ID, name: name("d") }),
    entry(ROOT_ID, "d"),
    entry(inner, "again"),
  ];
  rows.sort((a, b) => Buffer.compare(a.key, b.key));
  const blocks = new BlockMap();
  const nodes = new NodeStore(blocks, { capacityBytes: 1 << 20 });
  const tree = await buildTree(nodes, blocks, createTreeConfig({ salt: new Uint8Array(32), targetBytes: 1024 }), rows);
  const reader = { nodes, tree } as unknown as BucketReader;
  const folder = await temporaryFolder();
  const disk = await openRealDisk(folder, { allXattrs: false, setModified: async () => {}, unlocks: false });
  const copy = new CopyOut({ reader, disk, runtime: createFakeRuntime({}), special: false, moved: () => {} });
  const root = (await readObject(nodes, tree, ROOT_ID)) as TreeObject;
  await expect(copy.copy(root, name("copy"))).rejects.toMatchObject({ code: "format_invalid" });
  expect(readdirSync(join(folder, "copy", "d"))).toEqual([]);
});
