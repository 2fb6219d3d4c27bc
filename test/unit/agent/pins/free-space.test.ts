/** `free`: what it removes from the cache, and what stays. */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { freeSpace, type Released } from "../../../../src/agent/pins/free-space.ts";
import { silentLog } from "../../../../src/base/log.ts";
import type { Cid, FileId } from "../../../../src/base/ids.ts";
import { nameFromText } from "../../../../src/base/names.ts";
import { DiskBlockCache } from "../../../../src/blocks/disk-block-cache.ts";
import { publishEpoch } from "../../../../src/bucket/publish.ts";
import { linksOf } from "../../../../src/format/blocks/links.ts";
import { resolvePath } from "../../../../src/fstree/fs-reader.ts";
import { NodeStore } from "../../../../src/tree/node-store.ts";
import { freedText } from "../../../../src/cli/commands/free.ts";
import { Attacker } from "../../../support/attacker.ts";
import { cyclicRows } from "../../../support/cyclic-rows.ts";
import { epochOf, type ObjectEdit } from "../../../support/epochs.ts";
import { MemoryRemote } from "../../../support/memory-remote.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";
import { createBucket, newWriter } from "../../../support/test-bucket.ts";

const path = (text: string) => text.split("/").filter(Boolean).map(nameFromText);
const LARGE = 3_000_000;

/** A bucket with /d/large (a list of chunks), /d/small, /d/e/same (equal to small) and /other, all in the cache. */
async function world() {
  const bucket = await createBucket(new MemoryRemote());
  const writer = await newWriter(bucket, 2);
  const current = async () => there(await bucket.current()).commit;
  const { cid: commit, body } = await current();
  const small = Buffer.from("small ".repeat(1_000));
  const file = (ino: number, parent: number, name: string, bytes: Uint8Array): ObjectEdit => ({
    ino,
    names: [[parent, name]],
    bytes,
  });
  const { changes, data } = epochOf({ commit, seq: body.seq }, 1, [
    { ino: 2, names: [[1, "d"]], type: "directory" },
    { ino: 3, names: [[2, "e"]], type: "directory" },
    file(4, 2, "large", randomBytes(LARGE)),
    file(5, 2, "small", small),
    file(6, 3, "same", small),
    file(7, 1, "other", Buffer.from("other ".repeat(1_000))),
    file(8, 2, "tiny", Buffer.from("tiny")),
  ]);
  expect((await publishEpoch(writer, changes, data)).kind).toBe("published");
  const tree = (await current()).body.tree;
  const cache = new DiskBlockCache({ dir: join(await temporaryFolder(), "cache"), bytes: 1 << 26, log: silentLog });
  onTestFinished(() => cache.close());
  const nodes = new NodeStore(bucket.blocks, { capacityBytes: 1e6 });
  const object = async (text: string) => there(await resolvePath(nodes, tree, path(text)));
  const blocksOf = async (text: string): Promise<Cid[]> => {
    const { content } = (await object(text)).record;
    if (content.kind !== "chunk" && content.kind !== "list") return [];
    const found = [content.cid];
    for (const cid of found) {
      const bytes = await bucket.blocks.get(cid);
      cache.keep([{ cid, bytes }]);
      if (content.kind === "list") found.push(...linksOf(cid, bytes));
    }
    return found;
  };
  const blocks = new Map<string, Cid[]>();
  for (const each of ["d/large", "d/small", "d/e/same", "other"]) blocks.set(each, await blocksOf(each));
  await cache.settled();
  const here = async (text: string) => (await cache.held(blocks.get(text) ?? [])).size;
  const forgotten: Released[] = [];
  const free = (paths: readonly string[], more: { pins?: string[]; changed?: FileId[]; absent?: string[] } = {}) => {
    const { pins = [], changed = [], absent = [] } = more;
    const unpublished = async () => ({ files: changed.length, bytes: 7, changed, absent: absent.map(path) });
    const forget = async (released: Released) => void forgotten.push(released);
    const options = { cache, blocks: bucket.blocks, tree, pins: pins.map(path), unpublished, forget };
    return freeSpace(options, paths.map(path));
  };
  return { cache, free, here, object, blocks, forgotten };
}

test("a tree's contents are removed from the cache, others stay, and a second run frees nothing", async () => {
  const { cache, free, here, object, blocks, forgotten } = await world();
  const [before, large] = [cache.bytes, blocks.get("d/large")?.length ?? 0];
  expect(large).toBeGreaterThan(4);
  expect(await here("d/large")).toBe(large);
  const report = await free(["d", "d/small"]);
  expect(report).toMatchObject({ files: 4, unpublished: { files: 0 }, pinned: [] });
  expect([await here("d/large"), await here("d/small"), await here("d/e/same"), await here("other")]).toEqual([
    0, 0, 0, 1,
  ]);
  expect(before - cache.bytes).toBeGreaterThan(LARGE);
  expect(report.freedBytes).toBeGreaterThan(0.9 * LARGE);
  const ids = await Promise.all(
    ["d/large", "d/small", "d/e/same", "d/tiny"].map(async (each) => (await object(each)).id),
  );
  expect(forgotten.flatMap(({ files }) => files).toSorted()).toEqual(ids.toSorted());
  expect(new Set(forgotten.flatMap(({ blocks: all }) => all))).toEqual(
    new Set([...(blocks.get("d/large") ?? []), ...(blocks.get("d/small") ?? [])]),
  );
  expect(await free(["d"])).toMatchObject({ files: 4, freedBytes: 0 });
});

test("a single file is freed, and files that share its blocks must be fetched again, too", async () => {
  const { free, here, blocks } = await world();
  expect(await free(["d/small"])).toMatchObject({ files: 1 });
  expect([await here("d/e/same"), await here("d/large")]).toEqual([0, blocks.get("d/large")?.length]);
});

test("a pinned path is refused before anything is freed, and pins below a path stay and are named", async () => {
  const { free, here } = await world();
  const refusal = { code: "precondition_failed" };
  await expect(free(["other", "d"], { pins: ["d"] })).rejects.toMatchObject({ ...refusal, message: "/d is pinned." });
  await expect(free(["d/e/same"], { pins: ["d"] })).rejects.toMatchObject({
    ...refusal,
    message: "/d/e/same is pinned with /d.",
    hint: "Unpin /d first: `syncline unpin`.",
  });
  await expect(free([""], { pins: [""] })).rejects.toMatchObject(refusal);
  expect(await here("other")).toBe(1);
  expect(await free([""], { pins: ["d/e", "d/large", "away"] })).toMatchObject({
    files: 3,
    pinned: ["/d/e", "/d/large"],
  });
  expect([await here("other"), (await here("d/large")) > 4]).toEqual([0, true]);
});

test("unpublished contents stay", async () => {
  const { free, here, object } = await world();
  const { id } = await object("d/large");
  expect(await free(["d"], { changed: [id] })).toMatchObject({ files: 3, unpublished: { files: 1, bytes: 7 } });
  expect([(await here("d/large")) > 4, await here("d/small")]).toEqual([true, 0]);
  // It exists only on this machine.
  expect(await free(["new"], { changed: [id] })).toMatchObject({ files: 0, freedBytes: 0 });
  await expect(free(["none"], { absent: ["none"] })).rejects.toMatchObject({ code: "no_such_path" });
});

test("a list of chunks that is not in the cache is not fetched", async () => {
  const { cache, free, here, blocks } = await world();
  const [list] = blocks.get("d/large") ?? [];
  await cache.release([there(list)]);
  expect(await free(["d/large"])).toMatchObject({ files: 1, freedBytes: 0 });
  expect(await here("d/large")).toBe((blocks.get("d/large")?.length ?? 0) - 1);
});

test("a directory that lies in itself ends the walk with an error", async () => {
  const remote = new MemoryRemote();
  const { blocks } = await createBucket(remote);
  const attacker = await Attacker.start(remote, 7);
  await attacker.publish(cyclicRows());
  const freeing = freeSpace(
    {
      cache: { held: async () => new Map(), release: async () => 0 },
      blocks,
      tree: (await attacker.head()).tree,
      pins: [],
      unpublished: async () => ({ files: 0, bytes: 0, changed: [], absent: [] }),
      forget: async () => {},
    },
    [path("d")],
  );
  await expect(freeing).rejects.toMatchObject({ code: "format_invalid" });
});

test("the message names what stays", () => {
  const none = { files: 0, bytes: 0 };
  const text = (unpublished: typeof none, pinned: string[]) =>
    freedText({ files: 2, freedBytes: 2048, unpublished, pinned });
  expect(text(none, [])).toBe("Freed 2.00 KiB of 2 files.");
  expect(text({ files: 2, bytes: 3072 }, ["/a"])).toBe(
    "Freed 2.00 KiB of 2 files. 2 files, 3.00 KiB are not published and stay. /a is pinned and stays.",
  );
  expect(text({ files: 1, bytes: 5 }, ["/a", "/b"])).toBe(
    "Freed 2.00 KiB of 2 files. 1 file, 5 B is not published and stays. 2 paths are pinned and stay.",
  );
});

function there<Value>(value: Value | undefined): Value {
  if (value === undefined) throw new Error("it is not there");
  return value;
}
