/** The WebDAV door: sync-collection. */
import { describe, expect, test } from "vitest";
import { ERRNO } from "../../../src/base/errno.ts";
import { FsError } from "../../../src/vfs/filesystem.ts";
import { overriding } from "../../../src/vfs/overriding.ts";
import { syncByTrees } from "../../../src/webdav/sync-source.ts";
import { DavServer } from "../../support/dav-server.ts";
import { VfsHarness } from "../../support/vfs-harness.ts";

interface Synced {
  readonly status: number;
  readonly token: string;
  /** The path of each member, with a mark if it is gone. */
  readonly members: readonly string[];
  readonly body: string;
}

async function serve(): Promise<DavServer> {
  const fs = await VfsHarness.create();
  return DavServer.start({ syncToken: syncByTrees(fs.vfs) }, { fs });
}

async function sync(dav: DavServer, path: string, token: string, level = "infinite", more = ""): Promise<Synced> {
  const request = `<D:sync-collection xmlns:D="DAV:"><D:sync-token>${token}</D:sync-token><D:sync-level>${level}</D:sync-level>${more}<D:prop><D:getetag/></D:prop></D:sync-collection>`;
  const { status, body } = await dav.send("REPORT", path, { depth: "0" }, request);
  const members = [...body.matchAll(/<D:response><D:href>([^<]*)<\/D:href>(<D:status>HTTP\/1.1 404)?/g)];
  return {
    status,
    token: /<D:sync-token>([^<]*)/.exec(body)?.[1] ?? "",
    members: members.map(([, href, gone]) => `${href}${gone === undefined ? "" : " gone"}`).sort(),
    body,
  };
}

describe("sync-collection", () => {
  test("a folder supports it and reports its state as a token", async () => {
    await using dav = await serve();
    const asked = '<propfind xmlns="DAV:"><prop><supported-report-set/><sync-token/></prop></propfind>';
    const { body } = await dav.send("PROPFIND", "/", { depth: "0" }, asked);
    expect(body).toContain("<D:report><D:sync-collection/></D:report>");
    expect(body).toMatch(/<D:sync-token>urn:syncline:tree:bafyr4i\w+<\/D:sync-token>/);
  });

  test("what was in a folder is reported as gone where another folder has its name now", async () => {
    await using dav = await serve();
    const { fs } = dav;
    for (const folder of ["a", "b", "c"]) {
      await fs.makeDirectory(folder);
      await fs.make(`${folder}/in-${folder}`, "x");
    }
    await fs.publish();
    const first = await sync(dav, "/", "");
    // Two folders swap their names, and one is moved away and made anew.
    for (const [from, to] of [
      ["a", "t"],
      ["b", "a"],
      ["t", "b"],
      ["c", "d"],
    ] as const)
      await fs.rename(from, to);
    await fs.makeDirectory("c");
    await fs.publish();
    const { members } = await sync(dav, "/", first.token);
    expect(members).toEqual(
      expect.arrayContaining(["/a/in-a gone", "/a/in-b", "/b/in-a", "/b/in-b gone", "/c/in-c gone", "/d/in-c"]),
    );
  });

  test("the first report lists everything, the next what was created, changed, moved and removed since", async () => {
    await using dav = await serve();
    const { fs } = dav;
    for (const folder of ["a", "a/b", "rest"]) await fs.makeDirectory(folder);
    for (const file of ["a/b/c", "a/f", "top", "rest/same"]) await fs.make(file, "x");
    await fs.publish();
    const first = await sync(dav, "/", "");
    expect(first.members).toEqual(["/a/", "/a/b/", "/a/b/c", "/a/f", "/rest/", "/rest/same", "/top"]);
    expect((await sync(dav, "/", "", "1")).members).toEqual(["/a/", "/rest/", "/top"]);
    expect((await sync(dav, "/", first.token)).members).toEqual([]);

    await dav.send("PUT", "/a/f", {}, "other");
    await fs.rename("a/b", "moved");
    await fs.unlink("top");
    await fs.make("new", "x");
    await fs.publish();
    const second = await sync(dav, "/", first.token);
    const files = second.members.filter((member) => member !== "/a/");
    expect(files).toEqual(["/a/b gone", "/a/f", "/moved/", "/moved/c", "/new", "/top gone"]);
    expect(second.token).not.toBe(first.token);
    expect((await sync(dav, "/", first.token, "1")).members).not.toContain("/moved/c");
    expect((await sync(dav, "/a/", first.token)).members).toEqual(["/a/b gone", "/a/f"]);
    expect((await sync(dav, "/", second.token)).members).toEqual([]);
  });

  test("others' published changes are reported, and unpublished ones once they are published", async () => {
    await using dav = await serve();
    const { fs } = dav;
    await fs.make("mine", "x");
    await fs.publish();
    const { token } = await sync(dav, "/", "");
    await dav.send("PUT", "/mine", {}, "not published");
    expect((await sync(dav, "/", token)).members).toEqual([]);
    await fs.publish();
    expect((await sync(dav, "/", token)).members).toEqual(["/mine"]);
    fs.vfs.adopt(await fs.others(async (other) => void (await other.make("theirs", "y"))));
    expect((await sync(dav, "/", token)).members).toEqual(["/mine", "/theirs"]);
  });

  test.each<[string, (fs: VfsHarness) => Promise<unknown>, (fs: VfsHarness) => Promise<unknown>]>([
    ["created and removed", async (fs) => fs.make("new", "x"), (fs) => fs.unlink("new")],
    ["moved and moved back", (fs) => fs.rename("f", "other"), (fs) => fs.rename("other", "f")],
    ["moved with its folder, and back", (fs) => fs.rename("d", "e"), (fs) => fs.rename("e", "d")],
  ])(
    "a change reported before its publish and undone by then does not stay with the client: %s",
    async (_, make, undo) => {
      await using dav = await serve();
      const { fs } = dav;
      await fs.makeDirectory("d");
      await fs.make("d/in", "x");
      await fs.make("f", "x");
      await fs.publish();
      const before = await sync(dav, "/", "");
      for (const token of ["", before.token]) {
        await make(fs);
        const told = await sync(dav, "/", token);
        await undo(fs);
        await fs.publish();
        // Whose replica has what was told then is told what is gone, or to begin anew.
        const replica = new Set(token === "" ? told.members : [...before.members, ...told.members]);
        const after = await sync(dav, "/", told.token);
        const { members } = after.status === 403 ? await sync(dav, "/", "") : after;
        if (after.status === 403) replica.clear();
        for (const member of members) {
          if (member.endsWith(" gone")) replica.delete(member.slice(0, -" gone".length));
          else replica.add(member);
        }
        expect([...replica].sort()).toEqual(before.members);
      }
    },
  );

  test("a client without news keeps a valid token, whatever waits to be published", async () => {
    await using dav = await serve();
    const { fs } = dav;
    await fs.make("f", "x");
    await fs.publish();
    const { token } = await sync(dav, "/", "");
    await fs.make("new", "x");
    // Who lists it now, and takes the folder's token, begins anew once.
    const asked = '<propfind xmlns="DAV:"><prop><sync-token/></prop></propfind>';
    const { body } = await dav.send("PROPFIND", "/", { depth: "1" }, asked);
    const listed = /<D:sync-token>([^<]*)/.exec(body)?.[1] ?? "";
    expect([listed === token, (await sync(dav, "/", listed)).status]).toEqual([false, 403]);
    const idle = await sync(dav, "/", token);
    expect(idle).toMatchObject({ token, members: [] });
    await fs.publish();
    const told = await sync(dav, "/", idle.token);
    expect(told.members).toEqual(["/new"]);
    expect((await sync(dav, "/", told.token)).status).toBe(207);
  });

  test("an unknown token, a limit that is too low, a depth, and another report are refused", async () => {
    await using dav = await serve();
    await dav.fs.make("a", "x");
    await dav.fs.make("b", "x");
    for (const token of ["urn:other:1", "urn:syncline:tree:x", `urn:syncline:tree:${"bafyr4i".padEnd(59, "a")}`]) {
      const refused = await sync(dav, "/", token);
      expect([token, refused.status]).toEqual([token, 403]);
      expect(refused.body).toContain("<D:valid-sync-token/>");
    }
    const limited = await sync(dav, "/", "", "1", "<D:limit><D:nresults>1</D:nresults></D:limit>");
    expect(limited.status).toBe(507);
    expect(limited.body).toContain("<D:number-of-matches-within-limits/>");
    expect((await sync(dav, "/", "", "2")).status).toBe(400);
    const body =
      '<sync-collection xmlns="DAV:"><sync-token/><sync-level>1</sync-level><prop><getetag/></prop></sync-collection>';
    for (const depth of ["1", "infinity", ""]) {
      expect([depth, await dav.status("REPORT", "/", { depth }, body)]).toEqual([depth, 400]);
    }
    expect(await dav.status("REPORT", "/", {}, body)).toBe(207);
    const other = await dav.send("REPORT", "/", {}, '<D:expand-property xmlns:D="DAV:"/>');
    expect(other.status).toBe(403);
    expect(other.body).toContain("<D:supported-report/>");
    await using without = await DavServer.start({}, { fs: dav.fs });
    expect((await sync(without, "/", "")).status).toBe(403);
  });

  test("a report within a client's limit is sent while it is generated, however large the limit is", async () => {
    const fs = await VfsHarness.create();
    let lists = 0;
    const failing = overriding(fs.vfs, {
      list(ino, cookie, limit) {
        const listed = fs.vfs.list(ino, cookie, limit);
        // The end is read twice: for the count, and for the answer.
        if (listed.next === undefined && ++lists === 2) throw new FsError(ERRNO.EIO, "damaged");
        return listed;
      },
    });
    await using dav = await DavServer.start({ fs: failing, syncToken: syncByTrees(fs.vfs) }, { fs });
    for (let index = 0; index < 1_000; index++) await fs.make(`${index}`);
    const limit = (most: number) => `<D:limit><D:nresults>${most}</D:nresults></D:limit>`;
    await expect(sync(dav, "/", "", "1", limit(1_000_000))).rejects.toThrow(/aborted|hang up/);
    expect((await sync(dav, "/", "", "1", limit(999))).status).toBe(507);
    const whole = await sync(dav, "/", "", "1", limit(1_000));
    expect([whole.status, whole.members.length]).toEqual([207, 1_000]);
    await fs.publish();
    const { token } = await sync(dav, "/", "");
    for (let index = 0; index < 10; index++) await fs.make(`new ${index}`);
    await fs.publish();
    expect((await sync(dav, "/", token, "1", limit(9))).status).toBe(507);
    expect((await sync(dav, "/", token, "1", limit(10))).members).toHaveLength(10);
  });
});
