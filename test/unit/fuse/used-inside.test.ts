/** What other mounts use of a mount, and what a door does with such names once everything changed. */
import { describe, expect, test, vi } from "vitest";
import { ERRNO } from "../../../src/base/errno.ts";
import type { FileName, Ino } from "../../../src/base/ids.ts";
import { silentLog } from "../../../src/base/log.ts";
import type { Session } from "../../../src/fuse/addon.ts";
import { Invalidator } from "../../../src/fuse/invalidation.ts";
import { parseMountTable } from "../../../src/fuse/mount-table.ts";
import { OpenFiles } from "../../../src/fuse/open-files.ts";
import { OpenTable } from "../../../src/fuse/open-table.ts";
import { MINOR_WITH_EPOCH, MINOR_WITH_EXPIRY } from "../../../src/fuse/protocol.ts";
import { type Used, usedBelow, usedOf } from "../../../src/fuse/used-inside.ts";
import { FsError } from "../../../src/vfs/filesystem.ts";
import { CALLER } from "../../../src/simulate/vfs-driver.ts";
import { VfsHarness } from "../../support/vfs-harness.ts";

const OURS = "10 1 0:52 / /mnt rw - fuse.syncline file:///b rw";

/** What is used, as paths; a layer ends with "/*". */
function pathsUsed(...mounts: readonly string[]): string[] | undefined {
  const used = usedOf(parseMountTable([OURS, ...mounts].join("\n")), "0:52");
  const paths = (of: Used): string[] =>
    of.isLayer
      ? ["/*"]
      : of.names.size === 0
        ? [""]
        : [...of.names].flatMap(([name, each]) => paths(each).map((rest) => `/${name}${rest}`));
  return used && paths(used);
}

describe("other mounts use", () => {
  test("the directories that they are mounted on, also through a bind mount of a part", () => {
    expect(pathsUsed("11 10 0:60 / /mnt/a/b\\040c rw - tmpfs none rw")).toEqual(["/a/b c"]);
    const part = "12 1 0:52 /deep/part /elsewhere rw - fuse.syncline file:///b rw";
    expect(pathsUsed(part, "13 12 0:61 / /elsewhere/on rw - tmpfs none rw")).toEqual(["/deep/part/on"]);
  });

  test("the layers of an overlayfs with absolute paths, and all below them", () => {
    const layers = "lowerdir=/mnt/low:/other,upperdir=/mnt/over/up\\054,workdir=relative/work";
    expect(pathsUsed(`14 1 0:62 / /merged rw - overlay overlay rw,${layers}`)).toEqual(["/low/*", "/over/up,/*"]);
    expect(pathsUsed("15 1 0:63 / /merged rw - overlay overlay rw,lowerdir=/mnt")).toEqual(["/*"]);
    expect(usedBelow({ isLayer: true, names: new Map() }, "any" as FileName)?.isLayer).toBe(true);
  });

  test("nothing, if they are elsewhere or on the mount's root", () => {
    const covering = "11 10 0:60 / /mnt rw - tmpfs none rw";
    expect(pathsUsed(covering, "12 1 0:61 / /mntother rw - tmpfs none rw", "13 1 0:62 / / rw - ext4 x rw")).toBe(
      undefined,
    );
  });
});

/** Once everything changed: the names that the kernel is told to drop, and to look up again. */
async function told(used: Used | undefined, minor = MINOR_WITH_EPOCH, unlisted?: string): Promise<string[]> {
  const fs = await VfsHarness.create();
  const a = await fs.makeDirectory("a");
  const b = (await fs.run((vfs) => vfs.makeDirectory(a, name("b"), 0o755, CALLER))).ino;
  for (const [parent, each] of [
    [b, "file"],
    [a, "beside"],
  ] as const)
    await fs.run((vfs) => vfs.makeNode(parent, name(each), 0o100644, 0, CALLER));
  await fs.make("top");
  await fs.publish();
  fs.restart();
  const list = fs.vfs.list.bind(fs.vfs);
  vi.spyOn(fs.vfs, "list").mockImplementation((ino, ...rest) => {
    if (unlisted !== undefined && fs.vfs.pathOf(ino) === unlisted) throw new FsError(ERRNO.ESTALE, "gone");
    return list(ino, ...rest);
  });
  const messages: string[] = [];
  const at = (parent: number, name: string) => `${parent === 1 ? "" : fs.vfs.pathOf(parent as Ino)}/${name}`;
  const session = {
    invalidateInode: () => {},
    invalidateEntry: (parent: number, name: string) => void messages.push(`drop ${at(parent, name)}`),
    expireEntry: (parent: number, name: string) => void messages.push(`look up ${at(parent, name)}`),
    incrementEpoch: () => void messages.push("drop all"),
  } as unknown as Session;
  const options = { clock: fs.clock, log: silentLog, used: async () => used };
  const invalidator = new Invalidator(session, new OpenFiles(new OpenTable()), fs.vfs, options);
  invalidator.minor = minor;
  invalidator.invalidate({ entries: [], inodes: [], all: true });
  await fs.advance(1_000);
  return messages;
}

const name = (text: string) => text as FileName;
const leaf = (isLayer: boolean): Used => ({ isLayer, names: new Map() });
const usedAt =
  (...[first, ...rest]: readonly [string, ...string[]]) =>
  (end: Used): Used => {
    const inner = rest.length === 0 ? end : usedAt(...(rest as [string, ...string[]]))(end);
    return { isLayer: false, names: new Map([[name(first), inner]]) };
  };

describe("once everything changed, a door", () => {
  test("has all names dropped at once if no mount uses any", async () => {
    expect(await told(undefined)).toEqual(["drop all"]);
    expect(await told(undefined, MINOR_WITH_EPOCH - 1)).toEqual(["drop /a", "drop /top"]);
  });

  test("has names that lead to a mount looked up again, and all others dropped", async () => {
    const messages = ["look up /a", "look up /a/b", "drop /a/b/file", "drop /a/beside", "drop /top"];
    expect((await told(usedAt("a", "b")(leaf(false)))).toSorted()).toEqual(messages.toSorted());
  });

  test("has all names in a layer looked up again", async () => {
    const messages = ["look up /a", "look up /a/b", "look up /a/b/file", "look up /a/beside", "drop /top"];
    expect((await told(usedAt("a")(leaf(true)))).toSorted()).toEqual(messages.toSorted());
  });

  test("skips a directory that cannot be listed, and reports all others", async () => {
    const used: Used = { isLayer: false, names: new Map([[name("a"), leaf(true)]]) };
    expect((await told(used, MINOR_WITH_EPOCH, "/a")).toSorted()).toEqual(["drop /top", "look up /a"]);
  });

  test("has used names dropped, too, by a kernel that can do nothing else", async () => {
    expect(await told(usedAt("a")(leaf(true)), MINOR_WITH_EXPIRY - 1)).toEqual(["drop /a", "drop /top"]);
  });
});
