/** The WebDAV door: locks. */
import { describe, expect, test } from "vitest";
import type { Clock } from "../../../../src/base/clock.ts";
import { overriding } from "../../../../src/vfs/overriding.ts";
import type { FileName } from "../../../../src/base/ids.ts";
import { systemRandom } from "../../../../src/base/random.ts";
import { Locks } from "../../../../src/webdav/locks/locks.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { DavServer, MemoryLockStore } from "../../../support/dav-server.ts";
import { VfsHarness } from "../../../support/vfs-harness.ts";

const EXCLUSIVE =
  '<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype><D:owner>me &amp; you</D:owner></D:lockinfo>';
const SHARED = EXCLUSIVE.replace("exclusive", "shared");
const DAY_MS = 24 * 60 * 60 * 1000;

async function lock(dav: DavServer, path: string, headers: Record<string, string> = {}, body = EXCLUSIVE) {
  const answer = await dav.send("LOCK", path, headers, body);
  return { status: answer.status, body: answer.body, token: String(answer.headers["lock-token"]).slice(1, -1) };
}

/** What a multistatus says of each resource. */
function statuses(body: string): string[] {
  const responses = body.matchAll(/<D:response><D:href>([^<]*)<\/D:href><D:status>HTTP\/1.1 ([^<]*)<\/D:status>/g);
  return [...responses].map(([, href, status]) => `${href} ${status}`);
}

describe("locks", () => {
  test("locking a missing file creates an empty one, and only the lock's owner can change it", async () => {
    await using dav = await DavServer.start();
    const { status, token, body } = await lock(dav, "/f");
    expect(status).toBe(201);
    expect(body).toContain("<D:owner>me &amp; you</D:owner>");
    expect(await dav.send("GET", "/f")).toMatchObject({ status: 200, body: "" });
    for (const [method, headers] of [
      ["PUT", {}],
      ["DELETE", {}],
      ["PROPPATCH", {}],
      ["MOVE", { destination: "/g" }],
    ] as const) {
      const patch = '<propertyupdate xmlns="DAV:"><set><prop><x xmlns="y"/></prop></set></propertyupdate>';
      const answer = await dav.send(method, "/f", headers, method === "PROPPATCH" ? patch : "x");
      expect([method, answer.status]).toEqual([method, 423]);
      expect(answer.body).toContain("<D:lock-token-submitted><D:href>/f</D:href></D:lock-token-submitted>");
    }
    expect(await dav.status("COPY", "/f", { destination: "/copy" })).toBe(201);
    expect(await dav.status("COPY", "/copy", { destination: "/f" })).toBe(423);
    expect(await dav.status("PUT", "/f", { if: "(<urn:uuid:other>)" }, "x")).toBe(412);
    expect(await dav.status("PUT", "/f", { if: `(<${token}>)` }, "mine")).toBe(204);
    expect(await dav.status("UNLOCK", "/f", { "lock-token": "<urn:uuid:other>" })).toBe(409);
    expect(await dav.status("UNLOCK", "/f", {})).toBe(400);
    expect(await dav.status("UNLOCK", "/f", { "lock-token": `<${token}>` })).toBe(204);
    expect(await dav.status("PUT", "/f", {}, "free")).toBe(204);
  });

  test("a token works only with the login that took the lock, and any login can end a lock", async () => {
    await using dav = await DavServer.start();
    const as = (name: string) => ({ authorization: `Basic ${Buffer.from(`${name}:secret`).toString("base64")}` });
    const { token } = await lock(dav, "/f", as("laptop"));
    const found = await dav.send("PROPFIND", "/f", { ...as("phone"), depth: "0" });
    expect(found.body).toContain(token);
    const held = { if: `(<${token}>)` };
    expect(await dav.status("PUT", "/f", { ...as("phone"), ...held }, "other")).toBe(423);
    expect(await dav.status("LOCK", "/f", { ...as("phone"), ...held })).toBe(412);
    expect(await dav.status("PUT", "/f", { ...as("laptop"), ...held }, "mine")).toBe(204);
    expect(await dav.status("LOCK", "/f", { ...as("laptop"), ...held })).toBe(200);
    expect(await dav.status("UNLOCK", "/f", { ...as("phone"), "lock-token": `<${token}>` })).toBe(204);
    expect(await dav.status("PUT", "/f", as("phone"), "free")).toBe(204);
  });

  test("a deep lock covers everything below it, a flat one only the folder's members", async () => {
    await using dav = await DavServer.start();
    for (const folder of ["deep", "deep/in", "flat", "flat/in"]) await dav.fs.makeDirectory(folder);
    await dav.fs.make("flat/f", "x");
    const deep = await lock(dav, "/deep/", { depth: "infinity" });
    await lock(dav, "/flat/", { depth: "0" });
    expect(await dav.status("PUT", "/deep/in/new", {}, "x")).toBe(423);
    expect(await dav.status("PUT", "/deep/in/new", { if: `<${dav.origin}/deep/> (<${deep.token}>)` }, "x")).toBe(201);
    expect(await dav.status("PUT", "/flat/new", {}, "x")).toBe(423);
    expect(await dav.status("MKCOL", "/flat/new")).toBe(423);
    expect(await dav.status("DELETE", "/flat/f")).toBe(423);
    expect(await dav.status("PUT", "/flat/f", {}, "x")).toBe(204);
    expect(await dav.status("PUT", "/flat/in/new", {}, "x")).toBe(201);
    expect((await lock(dav, "/deep/in/")).status).toBe(423);
  });

  test("a lock inside a folder protects the folder", async () => {
    await using dav = await DavServer.start();
    await dav.fs.makeDirectory("d");
    const { token } = await lock(dav, "/d/f");
    expect(await dav.status("DELETE", "/d/")).toBe(423);
    expect(await dav.status("MOVE", "/d/", { destination: "/e" })).toBe(423);
    const deep = await lock(dav, "/d/", { depth: "infinity" });
    expect([deep.status, statuses(deep.body)]).toEqual([207, ["/d/f 423 Locked", "/d/ 424 Failed Dependency"]]);
    expect(dav.locks.locks).toHaveLength(1);
    // One that is in the way of the folder itself is told as such.
    const flat = await lock(dav, "/d/", { depth: "0" });
    const again = await lock(dav, "/d/", { depth: "infinity" });
    expect(again.status).toBe(423);
    expect(again.body).toContain("<D:no-conflicting-lock>");
    expect(await dav.status("UNLOCK", "/d/", { "lock-token": `<${flat.token}>` })).toBe(204);
    expect(await dav.status("DELETE", "/d/", { if: `<${dav.origin}/d/f> (<${token}>)` })).toBe(204);
    expect((await lock(dav, "/d")).status).toBe(201);
  });

  test("a folder's address ends with a slash in every lock answer, and a file's does not", async () => {
    await using dav = await DavServer.start();
    await dav.fs.makeDirectory("d");
    const root = (body: string) => /<D:lockroot><D:href>([^<]*)/.exec(body)?.[1];
    expect(root((await lock(dav, "/d", { depth: "infinity" })).body)).toBe("/d/");
    expect(root((await lock(dav, "/f")).body)).toBe("/f");
    expect(root((await dav.send("PROPFIND", "/d/", { depth: "0" })).body)).toBe("/d/");
    const submitted = (href: string) => `<D:lock-token-submitted><D:href>${href}</D:href></D:lock-token-submitted>`;
    expect((await dav.send("PUT", "/d/f", {}, "x")).body).toContain(submitted("/d/"));
    expect((await dav.send("PUT", "/f", {}, "x")).body).toContain(submitted("/f"));
    expect((await lock(dav, "/d/")).body).toContain("<D:no-conflicting-lock><D:href>/d/</D:href>");
    expect(statuses((await lock(dav, "/", { depth: "infinity" })).body)).toEqual([
      "/d/ 423 Locked",
      "/f 423 Locked",
      "/ 424 Failed Dependency",
    ]);
  });

  test("shared locks coexist, and an exclusive lock excludes all others", async () => {
    await using dav = await DavServer.start();
    const one = await lock(dav, "/f", {}, SHARED);
    expect((await lock(dav, "/f", {}, SHARED)).status).toBe(200);
    expect((await lock(dav, "/f")).status).toBe(423);
    expect(await dav.status("PUT", "/f", { if: `(<${one.token}>)` }, "x")).toBe(204);
    const { body } = await dav.send("PROPFIND", "/f", { depth: "0" });
    expect(body.match(/<D:activelock>/g)).toHaveLength(2);
  });

  test("a lock ends after its timeout, an hour at most, unless it is renewed", async () => {
    const clock = new ManualClock();
    await using dav = await DavServer.start({}, { clock });
    const short = await lock(dav, "/short", { timeout: "Second-10" });
    const long = await lock(dav, "/long", { timeout: "Infinite, Second-4100000000" });
    expect(short.body).toContain("<D:timeout>Second-10</D:timeout>");
    expect(long.body).toContain("<D:timeout>Second-3600</D:timeout>");
    await clock.advance(8_000);
    expect(await dav.status("LOCK", "/short", { if: `(<${short.token}>)`, timeout: "Second-10" })).toBe(200);
    await clock.advance(8_000);
    expect(await dav.status("PUT", "/short", {}, "x")).toBe(423);
    await clock.advance(8_000);
    expect(await dav.status("PUT", "/short", {}, "x")).toBe(204);
    expect(await dav.status("LOCK", "/short", { if: `(<${short.token}>)` })).toBe(412);
    await clock.advance(DAY_MS);
    expect(await dav.status("PUT", "/long", {}, "x")).toBe(204);
  });

  test("locks still hold after one ended during a DELETE", async () => {
    const clock = new ManualClock();
    const fs = await VfsHarness.create({}, clock);
    let steps = 0;
    const slow = overriding(fs.vfs, { throttle: () => (++steps === 2 ? clock.advance(11_000) : undefined) });
    await using dav = await DavServer.start({ fs: slow }, { fs, clock });
    await fs.makeDirectory("d");
    const { token } = await lock(dav, "/d/", { timeout: "Second-10" });
    steps = 0;
    expect(await dav.status("DELETE", "/d/", { if: `<${dav.origin}/d/> (<${token}>)` })).toBe(204);
    await lock(dav, "/f");
    expect(await dav.status("PUT", "/f", {}, "x")).toBe(423);
    expect((await lock(dav, "/f")).status).toBe(423);
  });

  test("setting the clock back extends no lock, at once or after a restart", async () => {
    const time = new ManualClock();
    let aheadNs = 0n;
    const nowNs = () => time.nowNs() + aheadNs;
    const clock: Clock = Object.assign(Object.create(time) as Clock, {
      nowNs,
      monotonicMs: () => time.monotonicMs(),
      sleep: (ms: number, signal?: AbortSignal) => time.sleep(ms, signal),
      after: (ms: number, action: () => void) => time.after(ms, action),
    });
    const locks = new MemoryLockStore();
    await using dav = await DavServer.start({}, { clock, locks });
    aheadNs = 31_536_000_000_000_000n;
    await lock(dav, "/one", { timeout: "Second-10" });
    await lock(dav, "/other", { timeout: "Second-100" });
    aheadNs = 0n;
    await time.advance(11_000);
    expect(await dav.status("PUT", "/one", {}, "x")).toBe(204);
    await using again = await DavServer.start({}, { clock, locks, fs: dav.fs });
    expect(await again.status("PUT", "/other", {}, "x")).toBe(423);
    await time.advance(101_000);
    expect(await again.status("PUT", "/other", {}, "x")).toBe(204);
  });

  test("locks survive a restart", async () => {
    const locks = new MemoryLockStore();
    await using dav = await DavServer.start({}, { locks });
    const { token } = await lock(dav, "/f");
    await using again = await DavServer.start({}, { locks, fs: dav.fs });
    expect(await again.status("PUT", "/f", {}, "x")).toBe(423);
    expect(await again.status("PUT", "/f", { if: `(<${token}>)` }, "x")).toBe(204);
  });

  test("an owner that would take gigabytes because each part declares its namespace is refused", async () => {
    await using dav = await DavServer.start();
    const owner = `<D:owner xmlns:n="${"u".repeat(600_000)}">${"<n:b/>".repeat(2_000)}</D:owner>`;
    const refused = await lock(dav, "/f", {}, EXCLUSIVE.replace(/<D:owner>.*<.D:owner>/, owner));
    expect(refused).toMatchObject({ status: 400, body: "A lock's owner element may have at most 1024 bytes.\n" });
  });

  test("a resource has at most 64 locks", async () => {
    await using dav = await DavServer.start();
    for (let count = 0; count < 64; count++) expect((await lock(dav, "/f", {}, SHARED)).status).toBeLessThan(300);
    expect((await lock(dav, "/f", {}, SHARED)).status).toBe(507);
  });
});

describe("a lock that is taken while a folder is removed", () => {
  /** A door that waits, once `waitBefore` is called, before this change of those that follow. */
  async function slowDoor() {
    const fs = await VfsHarness.create();
    const [begun, go] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    let left = 0;
    const slow = overriding(fs.vfs, {
      throttle() {
        if (--left !== 0) return undefined;
        begun.resolve();
        return go.promise;
      },
    });
    const dav = await DavServer.start({ fs: slow }, { fs });
    return { dav, begun: begun.promise, go: () => go.resolve(), waitBefore: (change: number) => void (left = change) };
  }

  test("ends the DELETE, which removes nothing more", async () => {
    const { dav, begun, go, waitBefore } = await slowDoor();
    await using _dav = dav;
    await dav.fs.makeDirectory("d");
    await dav.fs.make("d/f", "old");
    waitBefore(2);
    const removed = dav.send("DELETE", "/d/");
    await begun;
    const { token } = await lock(dav, "/d/f");
    expect(await dav.status("PUT", "/d/f", { if: `(<${token}>)` }, "new")).toBe(204);
    go();
    const { status, body } = await removed;
    expect([status, body.includes("<D:lock-token-submitted><D:href>/d/f</D:href>")]).toEqual([423, true]);
    expect((await dav.send("GET", "/d/f")).body).toBe("new");
    expect(await dav.status("PUT", "/d/f", {}, "x")).toBe(423);
  });

  test.each([
    ["MOVE", 2],
    ["COPY", 3],
  ])("stays if it is of what a %s put in the folder's place", async (method, change) => {
    const { dav, begun, go, waitBefore } = await slowDoor();
    await using _dav = dav;
    for (const folder of ["a", "b"]) await dav.fs.makeDirectory(folder);
    await dav.fs.make("b/old", "x");
    waitBefore(change);
    const done = dav.status(method, "/a/", { destination: "/b", depth: method === "COPY" ? "0" : "infinity" });
    await begun;
    await lock(dav, "/b/f");
    if (method === "MOVE") await lock(dav, "/a");
    go();
    expect(await done).toBe(204);
    expect(dav.locks.locks).toHaveLength(method === "MOVE" ? 2 : 1);
    expect(await dav.status("PUT", "/b/f", {}, "x")).toBe(423);
  });
});

describe("the locks that cover a path", () => {
  function locksOn(...paths: readonly string[][]): Locks {
    const locks = new Locks(new MemoryLockStore(), new ManualClock(), systemRandom);
    for (const path of paths) {
      const of = { path: path as FileName[], isFolder: true, isDeep: path.length % 2 === 0, isExclusive: false };
      locks.make({ ...of, owner: path.join("/"), user: undefined, timeoutS: 60 });
    }
    return locks;
  }

  test("are its own and the deep ones around it, from the root, however many locks there are", () => {
    const paths = [["a", "b", "c"], ["a"], ["a", "b", "c", "d"], [], ["a", "b"], ["a", "bc"], ["x"], ["a", "b", "c"]];
    const others = Array.from({ length: 20 }, (_, at) => [`other ${at}`]);
    const deep = ["a", "b", "c", "e", "f", "g", "h", "i", "j", "k"];
    for (const locks of [locksOn(...paths), locksOn(...paths, ...others)]) {
      const owners = (path: readonly string[]) => locks.covering(path as FileName[]).map(({ owner }) => owner);
      expect(owners(["a", "b", "c"])).toEqual(["", "a/b", "a/b/c", "a/b/c"]);
      expect(owners(["a", "b", "c", "d"])).toEqual(["", "a/b", "a/b/c/d"]);
      expect(owners(deep)).toEqual(["", "a/b"]);
      expect(owners([])).toEqual([""]);
    }
  });

  test("are found by reading each name of the path a few times, however long it is", () => {
    const locks = locksOn(["a"], ["b"]);
    let reads = 0;
    const path = new Proxy(Array.from({ length: 1_000 }, () => "a") as FileName[], {
      get: (target, key, receiver): unknown => {
        if (typeof key === "string" && /^\d+$/.test(key)) reads++;
        return Reflect.get(target, key, receiver);
      },
    });
    expect(locks.covering(path)).toHaveLength(0);
    expect(reads).toBeLessThan(5_000);
  });
});
