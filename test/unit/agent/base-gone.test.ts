/** Epochs on roots that the bucket does not retain any more: only the kept rows tell what their objects were. */
import { describe, expect, test } from "vitest";
import type { FileId } from "../../../src/base/ids.ts";
import type { Bucket, CurrentRoot } from "../../../src/bucket/bucket.ts";
import { resolvePath } from "../../../src/fstree/fs-reader.ts";
import type { TreeObject } from "../../../src/fstree/fs-reader.ts";
import { publishEpoch } from "../../../src/bucket/publish.ts";
import { verifyBucket } from "../../../src/bucket/verify.ts";
import { epochOf, name } from "../../support/epochs.ts";
import type { ObjectEdit } from "../../support/epochs.ts";
import { MemoryRemote } from "../../support/memory-remote.ts";
import { createBucket, newWriter, nodesOf, pathsOf } from "../../support/test-bucket.ts";
import { dropKept } from "../../support/thinning.ts";

const bytes = (text: string) => Buffer.from(text);

/** Two writers; whoever publishes on an older root does so after nobody retains it any more. Each epoch must leave a valid tree. */
async function world() {
  const remote = new MemoryRemote();
  const bucket = await createBucket(remote);
  const writers = [await newWriter(bucket, 2), await newWriter(bucket, 3)] as const;
  const thinner = await newWriter(bucket, 4);
  const epochs = [0, 0];
  const publish = async (
    who: 0 | 1,
    edits: readonly ObjectEdit[],
    options: { on?: CurrentRoot; directories?: Record<number, FileId> } = {},
  ) => {
    const on = options.on ?? (await root(bucket));
    if (options.on !== undefined) await dropKept(thinner, [on.commit.body.seq]);
    const epoch = (epochs[who] = (epochs[who] ?? 0) + 1);
    const reference = { commit: on.commit.cid, seq: on.commit.body.seq };
    const { changes, data } = epochOf(reference, epoch, edits, options.directories);
    const outcome = await publishEpoch(writers[who], changes, data);
    expect(outcome.kind).toBe("published");
    expect((await verifyBucket(bucket, { blocks: remote.blocks })).damage).toEqual([]);
  };
  const at = async (path: string): Promise<TreeObject> => {
    const { tree } = (await root(bucket)).commit.body;
    const object = await resolvePath(nodesOf(bucket), tree, path.split("/").map(name));
    if (object === undefined) throw new Error(`nothing at ${path}`);
    return object;
  };
  const files = async () => pathsOf(bucket, (await root(bucket)).commit.body.tree);
  return { publish, at, files, now: () => root(bucket) };
}

async function root(bucket: Bucket): Promise<CurrentRoot> {
  const current = await bucket.current();
  if (current === undefined) throw new Error("the bucket has no root");
  return current;
}

describe("a file moved back to where it was created", () => {
  /** `a/f`, which was born there, is `b/g`. */
  async function moved() {
    const { publish, at, files, now } = await world();
    await publish(0, [
      { ino: 2, names: [[1, "a"]], type: "directory" },
      { ino: 3, names: [[1, "b"]], type: "directory" },
      { ino: 4, names: [[2, "f"]], bytes: bytes("f") },
    ]);
    const [a, b] = [await at("a"), await at("b")];
    const directories = { 2: a.id, 3: b.id };
    await publish(0, [{ ino: 4, base: await at("a/f"), names: [[3, "g"]] }], { directories });
    return { publish, at, files, now, a, b, g: await at("b/g"), directories };
  }

  test("stays one file with an edit by a writer who has not seen the move", async () => {
    const { publish, files, now, a, g, directories } = await moved();
    const on = await now();
    await publish(0, [{ ino: 4, base: g, names: [[2, "f"]] }], { directories });
    // Where it was born, seen from the root, is another path by then.
    await publish(0, [{ ino: 2, base: a, names: [[1, "renamed"]] }]);
    await publish(1, [{ ino: 4, base: g, names: [[3, "g"]], bytes: bytes("edited") }], { on, directories });
    expect(await files()).toEqual({ b: "dir", renamed: "dir", "renamed/f": "edited" });
  });

  test("stays one file when both move it back, or one of them elsewhere", async () => {
    for (const [parent, file] of [
      [2, "f"],
      [1, "elsewhere"],
    ] as const) {
      const { publish, files, now, a, g, directories } = await moved();
      const on = await now();
      await publish(0, [{ ino: 4, base: g, names: [[parent, file]] }], { directories });
      await publish(0, [{ ino: 2, base: a, names: [[1, "renamed"]] }]);
      await publish(1, [{ ino: 4, base: g, names: [[2, "f"]], bytes: bytes("edited") }], { on, directories });
      expect(Object.values(await files()).sort()).toEqual(["dir", "dir", "edited"]);
    }
  });

  test("stays one file if a writer who has not seen the move moves it elsewhere, and survives that writer's deletion", async () => {
    for (const names of [[[1, "elsewhere"]], []] as const) {
      const { publish, files, now, g, directories } = await moved();
      const on = await now();
      await publish(0, [{ ino: 4, base: g, names: [[2, "f"]] }], { directories });
      await publish(1, [{ ino: 4, base: g, names }], { on, directories });
      const texts = Object.values(await files()).filter((text) => text !== "dir");
      expect(texts).toEqual(["f"]);
    }
  });

  test("survives as edited if others deleted it instead", async () => {
    const { publish, files, now, g, directories } = await moved();
    const on = await now();
    await publish(0, [{ ino: 4, base: g, names: [] }]);
    await publish(1, [{ ino: 4, base: g, names: [[3, "g"]], bytes: bytes("edited") }], { on, directories });
    expect(await files()).toEqual({ a: "dir", b: "dir", "b/g": "edited" });
  });
});

describe("directories that others nested the other way around", () => {
  /** `x` with `f` and `y` with `g`, as both writers know them. */
  async function twoDirectories() {
    const { publish, at, files, now } = await world();
    await publish(0, [
      { ino: 2, names: [[1, "x"]], type: "directory" },
      { ino: 3, names: [[1, "y"]], type: "directory" },
      { ino: 4, names: [[2, "f"]], bytes: bytes("f") },
      { ino: 5, names: [[3, "g"]], bytes: bytes("g") },
    ]);
    const [x, y] = [await at("x"), await at("y")];
    const [f, g] = [await at("x/f"), await at("y/g")];
    return { publish, at, files, now, x, y, f, g, directories: { 2: x.id, 3: y.id } };
  }
  const all = ["dir", "dir", "f", "g"];

  test("form no cycle with what was moved here", async () => {
    const { publish, files, now, x, y, directories } = await twoDirectories();
    const on = await now();
    await publish(0, [{ ino: 2, base: x, names: [[3, "x"]] }], { directories });
    // On the root of now, x lies in y; for the epoch it was in no tree that is left.
    await publish(1, [{ ino: 3, base: y, names: [[2, "y"]] }], { on, directories });
    expect(Object.values(await files()).sort()).toEqual(all);
  });

  test("leave what is new in the root directory under its name", async () => {
    const { publish, files, now, x, y, directories } = await twoDirectories();
    const on = await now();
    const anew: ObjectEdit[] = [
      { ino: 2, base: x, names: [[3, "x"]] },
      { ino: 6, names: [[1, "x"]], type: "directory" },
      { ino: 7, names: [[6, "h"]], bytes: bytes("h") },
    ];
    await publish(0, anew, { directories });
    const edits: ObjectEdit[] = [
      { ino: 3, base: y, names: [[2, "y"]] },
      { ino: 8, names: [[2, "i"]], bytes: bytes("i") },
    ];
    await publish(1, edits, { on, directories });
    const found = await files();
    expect(found["x/h"]).toBe("h");
    expect(Object.values(found).sort()).toEqual(["dir", ...all, "h", "i"]);
  });

  test("are published with the changes inside them", async () => {
    const { publish, at, files, now, x, y, f, g, directories } = await twoDirectories();
    await publish(0, [{ ino: 3, base: y, names: [[2, "y"]] }], { directories });
    const inside = await at("x/y");
    const on = await now();
    const turned: ObjectEdit[] = [
      { ino: 3, base: inside, names: [[1, "y"]] },
      { ino: 2, base: x, names: [[3, "x"]] },
    ];
    await publish(0, turned, { directories });
    const edits: ObjectEdit[] = [
      { ino: 3, base: inside, names: [[2, "y"]], fields: { mode: 0o700 } },
      { ino: 4, base: f, names: [[2, "f"]], bytes: bytes("edited f") },
      { ino: 5, base: g, names: [[3, "g"]], bytes: bytes("edited g") },
    ];
    await publish(1, edits, { on, directories });
    expect(await files()).toEqual({ y: "dir", "y/x": "dir", "y/g": "edited g", "y/x/f": "edited f" });
  });
});
