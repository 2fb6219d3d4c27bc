import { expect, test } from "vitest";
import type { FileName } from "../../../src/base/ids.ts";
import { ROOT_INO } from "../../../src/base/ids.ts";
import { HeldVersions } from "../../../src/vfs/held-versions.ts";
import { Overlay } from "../../../src/overlay/overlay.ts";
import { silentLog } from "../../../src/base/log.ts";
import { SimulatedDisk } from "../../../src/simulate/disks/simulated-disk.ts";
import { NO_XATTRS } from "../../../src/format/files/record.ts";
import { CleanInodes } from "../../../src/vfs/clean-inodes.ts";
import { ownXattrs } from "../../../src/vfs/own-record.ts";
import { NodeStore } from "../../../src/tree/node-store.ts";
import { VfsHarness } from "../../support/vfs-harness.ts";

test("cached clean files and directories share no memory with the nodes that they came from", async () => {
  const fs = await VfsHarness.create();
  await fs.makeDirectory("d");
  await fs.make("d/f", "some bytes");
  for (const path of ["d", "d/f"]) {
    const ino = await fs.ino(path);
    await fs.run((vfs) => vfs.setXattr(ino, "user.a", Buffer.from("an attribute"), 0));
  }
  await fs.publish();
  const overlay = new Overlay({ storage: new SimulatedDisk(), base: fs.root, clock: fs.clock, log: silentLog });
  const nodes = new NodeStore(fs.blocks, { capacityBytes: 1 << 20 });
  const clean = new CleanInodes(overlay, nodes, 100, new HeldVersions(overlay.state));
  await nodes.load([fs.root.tree]);
  const found = clean.lookup(ROOT_INO, clean.directoryId(ROOT_INO) ?? never(), "d" as FileName) ?? never();
  const id = clean.directoryId(found) ?? never();
  const within = clean.lookup(found, id, "f" as FileName) ?? never();
  for (const ino of [found, within]) {
    const { record } = clean.get(ino) ?? never();
    const bytes = record.xattrs instanceof Map ? [...record.xattrs.values()] : [];
    if (record.content.kind === "inline") bytes.push(record.content.bytes);
    expect(bytes.map((each) => each.buffer.byteLength)).toEqual(bytes.map((each) => each.length));
    expect(bytes).toHaveLength(record.type === "file" ? 2 : 1);
  }
});

test("files without attributes share one empty list of them", () => {
  expect(ownXattrs(new Map())).toBe(NO_XATTRS);
});

function never(): never {
  throw new Error("it is not there");
}
