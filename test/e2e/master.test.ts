/** Buckets at a master as people use them: the command line and mounts, over a master process that comes and goes. */
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { commandLines, runCommand } from "../support/command-line.ts";
import { eventually, whyNoMount } from "../support/fuse-process.ts";
import { MasterProcess } from "../support/master-process.ts";
import { Workspace } from "../support/syncline.ts";

const reason = whyNoMount();
const STRANGER = { SYNCLINE_KEY: "33".repeat(32) };
const OWNER = "0x17c5185167401ed00cf5f5b2fc97d9bbfdb7d025";
const ELSEWHERE = "0x2222222222222222222222222222222222222222";

let space: Workspace;
let master: MasterProcess;
beforeAll(() => {
  space = new Workspace("at-master");
});
afterAll(() => space[Symbol.dispose]());
beforeEach(async () => {
  master = await MasterProcess.start();
});
afterEach(() => master.end("SIGKILL"));

const text = (pattern: RegExp) => expect.stringMatching(pattern) as string;
const code = (args: readonly string[], env: NodeJS.ProcessEnv = {}) => {
  const { status, err } = space.run([...args, "--json"], { env });
  return [status, (JSON.parse(err) as { code: string }).code];
};

describe("commands", () => {
  test("work at a master as in a folder", () => {
    const url = `${master.origin}/notes`;
    const { pinned } = space.json("init", url);
    expect(code(["init", url])).toEqual([4, "bucket_exists"]);
    writeFileSync(space.at("a.txt"), "one");
    const { root } = space.json("put", space.at("a.txt"), `${url}/ä b.txt`);
    writeFileSync(space.at("a.txt"), "two");
    space.do("put", space.at("a.txt"), `${url}/ä b.txt`);
    expect(space.do("cat", `${url}/%C3%A4%20b.txt`)).toBe("two");
    expect(space.do("cat", `${url}/ä b.txt`, "--at", String(root))).toBe("one");
    expect(space.lines("ls", url).map(({ name }) => name)).toEqual(["ä b.txt"]);
    space.do("restore", `${url}/ä b.txt`, "--at", String(root));
    expect(space.do("cat", `${String(pinned).replace("#", "/ä b.txt#")}`)).toBe("one");
    expect(space.lines("log", url)).toHaveLength(4);
    expect(space.lines("verify", url)).toMatchObject([{ damaged: 0 }]);
    space.do("get", "-r", url, space.at("copy"));
    expect(readFileSync(space.at("copy", "ä b.txt"), "utf8")).toBe("one");
    expect(code(["unlock", url])).toEqual([1, "not_supported"]);
  });

  test.each(["http", "https"])(
    "list present and past files, and graph which commits took in which, over %s",
    async (scheme) => {
      const tls = (name: string) => resolve(import.meta.dirname, "../support/tls", name);
      const secure = scheme === "https";
      const own = secure
        ? await MasterProcess.start("--tls-cert", tls("cert.pem"), "--tls-key", tls("key.pem"))
        : master;
      if (secure) onTestFinished(() => own.end("SIGKILL"));
      const url = `${scheme}://localhost:${new URL(own.origin).port}/notes`;
      const trust = secure ? ["--tls-ca", tls("cert.pem")] : [];
      const run = (...args: string[]) => runCommand(space, ...args, ...trust);
      const lines = (...args: string[]) => commandLines(space, ...args, ...trust);
      await run("init", url);
      writeFileSync(space.at("note"), "note");
      const roots: unknown[] = [];
      for (const [name, writer] of Object.entries({ a: "one", b: "two", c: "one" })) {
        const state = space.at(`${scheme}-${writer}`);
        const [put] = await lines("put", space.at("note"), `${url}/${name}`, "--state", state);
        roots.push(put?.["root"]);
      }
      const names = async (...args: string[]) => (await lines("ls", url, ...args)).map(({ name }) => name);
      expect(await names()).toEqual(["a", "b", "c"]);
      expect(await names("--at", String(roots[0]))).toEqual(["a"]);
      expect(await lines("ls", `${url}/b`)).toMatchObject([{ name: "b", type: "file", size: 4 }]);
      const graph = (await run("log", "--graph", url)).trimEnd().split("\n");
      expect(graph.map((line) => line.slice(0, 5).trimEnd())).toEqual(["*", "| *", "*", "    *"]);
      const commits = await lines("log", "--graph", url);
      expect(commits.slice(0, 3).map(({ root }) => root)).toEqual(roots.toReversed());
      const [newest, other, oldest] = commits;
      expect(newest).toMatchObject({ lanes: "*", takesIn: [{ writer: other?.["writer"] }] });
      expect(oldest?.["writer"]).toBe(newest?.["writer"]);
    },
  );

  test("report each error with its exit status", async () => {
    const url = `${master.origin}/notes`;
    space.do("init", url);
    expect(code(["ls", `${master.origin}/another`])).toEqual([1, "no_such_bucket"]);
    expect(code(["ls", url], STRANGER)).toEqual([5, "wallet_not_allowed"]);
    expect(code(["ls", `${master.origin}/${ELSEWHERE}/notes`])).toEqual([5, "no_grant"]);
    expect(code(["ls", url], { SYNCLINE_TOKEN: "nonsense" })).toEqual([5, "bad_token"]);
    expect(code(["ls", url.replace("127.0.0.1", "192.0.2.1")])).toEqual([2, "bad_address"]);
    expect(code(["ls", master.origin])).toEqual([2, "bad_address"]);
    expect(code(["ls", `${url}#bafyr4ie6slwfgmp6p722bstsiftx2b6prq44d2oek4elscc55aisgsz6vi`])).toEqual([
      4,
      "foreign_bucket",
    ]);
    await master.end();
    const { status, err } = space.run(["ls", url, "--timeout", "0.5"]);
    expect({ status, lines: err.split("\n") }).toEqual({
      status: 6,
      lines: [
        text(/^http:.* does not answer: .*ECONNREFUSED.*\. Retrying for up to 0\.5 s\.$/),
        text(/^syncline: http:.* does not answer: .*ECONNREFUSED/),
        "  Check that the master is running, the address is right (http or https?), and the network can reach it.",
        "",
      ],
    });
  });

  test("use the first of several masters that answers", () => {
    const url = `${master.origin}/notes`;
    space.do("init", url);
    const { port } = new URL(master.origin);
    expect(space.lines("ls", `http://127.0.0.1:1,127.0.0.1:${port}/notes`)).toEqual([]);
  });

  test("trust a master's certificate only when told to", async () => {
    const tls = (name: string) => resolve(import.meta.dirname, "../support/tls", name);
    const secure = await MasterProcess.start("--tls-cert", tls("cert.pem"), "--tls-key", tls("key.pem"));
    onTestFinished(() => secure.end("SIGKILL"));
    const url = `https://localhost:${new URL(secure.origin).port}/notes`;
    expect(code(["init", url])).toEqual([6, "arbiter_unreachable"]);
    space.do("init", url, "--tls-ca", tls("cert.pem"));
    expect(space.lines("ls", url, "--tls-ca", tls("cert.pem"))).toEqual([]);
    expect(code(["ls", url, "--tls-ca", tls("key.pem")])).toEqual([2, "config_invalid"]);
  });
});

describe.skipIf(reason !== undefined)(`mounts${reason === undefined ? "" : ` (skipped: ${reason})`}`, () => {
  let url: string;
  let dir: string;
  let count = 0;
  beforeEach(() => {
    url = `${master.origin}/mounted-${++count}`;
    dir = space.mountPoint(`mount-${count}`);
    space.do("init", url);
  });

  const lastError = () => (space.status(dir)["lastError"] as { code: string } | null)?.code;
  const flushed = () => space.run(["flush", dir, "--json"]).status;

  test("of one bucket show each other's changes, even after the master was killed and restarted", async () => {
    const other = space.mountPoint(`other-${count}`);
    space.mount(url, dir);
    space.mount(url, other);
    const arrives = (name: string) =>
      eventually(async () => expect(readFileSync(join(other, name), "utf8")).toBe(name));
    writeFileSync(join(dir, "first"), "first");
    await arrives("first");
    await master.restart("SIGKILL");
    writeFileSync(join(dir, "second"), "second");
    await arrives("second");
    expect(space.run(["unmount", dir]).status).toBe(0);
    expect(space.run(["unmount", other]).status).toBe(0);
    expect(space.lines("verify", url)).toMatchObject([{ damaged: 0 }]);
  });

  test("start without the master from the last known state, and publish when it is back", async () => {
    space.mount(url, dir);
    writeFileSync(join(dir, "seen"), "seen");
    space.do("unmount", dir);
    await master.end();
    space.mount(url, dir);
    expect(readFileSync(join(dir, "seen"), "utf8")).toBe("seen");
    writeFileSync(join(dir, "offline"), "offline");
    await eventually(async () => expect(lastError()).toBe("arbiter_unreachable"));
    expect(space.status(dir)).toMatchObject({ online: false });
    await master.run(new URL(master.origin).host);
    await eventually(async () => expect(space.status(dir)).toMatchObject({ online: true, pending: { files: 0 } }));
    space.do("unmount", dir);
    expect(space.do("cat", `${url}/offline`)).toBe("offline");
  });

  test("whose wallet is no longer allowed keep everything, say why, and resume once it is allowed again", async () => {
    space.mount(url, dir);
    const { host } = new URL(master.origin);
    await master.end();
    await master.serve(host, ["--allow", ELSEWHERE]);
    writeFileSync(join(dir, "kept"), "kept");
    await eventually(async () => expect(lastError()).toBe("wallet_not_allowed"));
    expect(flushed()).toBe(3);
    await master.end();
    await master.serve(host, ["--allow", OWNER]);
    await eventually(async () => expect(space.status(dir)).toMatchObject({ lastError: null, pending: { files: 0 } }));
    space.do("unmount", dir);
    expect(space.do("cat", `${url}/kept`)).toBe("kept");
  });

  test("of a known bucket start without a key and report what they wait for", async () => {
    const locked = { SYNCLINE_KEY: undefined, SYNCLINE_KEY_FILE: space.at("locked.json") };
    space.mount(url, dir);
    writeFileSync(join(dir, "seen"), "seen");
    space.do("unmount", dir);
    const made = space.run(["key", "new", "--json"], { env: locked });
    expect(made.status).toBe(0);
    space.do("ls", url);
    expect(code(["ls", url], { ...locked, SYNCLINE_PASSPHRASE_FILE: space.at("nothing") })).toEqual([5, "key_locked"]);
    const mounted = space.run(["mount", url, dir, "--background", "--json"], {
      env: { ...locked, SYNCLINE_PASSPHRASE_FILE: space.at("nothing") },
    });
    expect(mounted.status).toBe(0);
    expect(readFileSync(join(dir, "seen"), "utf8")).toBe("seen");
    await eventually(async () => expect(lastError()).toBe("key_locked"));
    space.do("unmount", dir);
  });

  test("of a known bucket do not start with a wrong passphrase, with or without the master; the right one starts", async () => {
    const locked = { SYNCLINE_KEY: undefined, SYNCLINE_KEY_FILE: space.at("own.json") };
    const [right, wrong] = [space.at("right"), space.at("wrong")];
    writeFileSync(right, "right\n");
    writeFileSync(wrong, "wrong\n");
    const imported = ["key", "import", "-", "--passphrase-file", right];
    expect(space.run(imported, { env: locked, input: "42".repeat(32) })).toMatchObject({ status: 0 });
    const start = (name: string, ...words: string[]) => code([...words, "--passphrase-file", name], locked);
    const mount = ["mount", url, dir, "--background"];
    const mounted = () => space.run([...mount, "--passphrase-file", right], { env: locked }).status;
    expect(mounted()).toBe(0);
    space.do("unmount", dir);
    expect(start(wrong, ...mount)).toEqual([5, "key_locked"]);
    expect(start(wrong, "sync", url, space.at("synced"))).toEqual([5, "key_locked"]);
    await master.end();
    expect(start(wrong, ...mount)).toEqual([5, "key_locked"]);
    expect(mounted()).toBe(0);
    space.do("unmount", dir);
  });
});
