/** Every command on a bucket in S3 without a master, at a real server (versitygw). */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { programOf, S3Server, serversHere } from "../support/s3-server.ts";
import { Workspace } from "../support/syncline.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

describe.skipIf(programOf("versitygw") === undefined)("a bucket at s3:// (versitygw)", () => {
  const space = new Workspace("s3");
  let server: S3Server;
  const at = (path = "", prefix = "notes") => `s3://${server.bucket}/${prefix}${path}?endpoint=${server.endpoint}`;
  beforeAll(async () => {
    server = await S3Server.start("versitygw", await temporaryFolder());
    Object.assign(space.env, server.env);
  });
  afterAll(async () => {
    space[Symbol.dispose]();
    await server.kill();
  });

  test("init, put, ls, cat, get, log, policy, restore, verify, gc and unlock work as on a folder", () => {
    expect(space.json("init", at())).toMatchObject({ address: at() });
    expect(space.run(["init", at()]).err).toContain("A bucket already exists at");
    mkdirSync(space.at("tree/inner"), { recursive: true });
    writeFileSync(space.at("tree/inner/a.txt"), "first");
    space.do("put", "-r", space.at("tree"), at("/"));
    writeFileSync(space.at("a.txt"), "second");
    space.do("put", space.at("a.txt"), at("/tree/inner/a.txt"));
    expect(space.do("ls", at("/tree/inner"))).toContain("a.txt");
    expect(space.do("cat", at("/tree/inner/a.txt"))).toBe("second");
    space.do("get", "-r", at("/tree"), space.at("got"));
    expect(readFileSync(space.at("got/inner/a.txt"), "utf8")).toBe("second");
    expect(space.lines("log", at())).toHaveLength(3);
    space.do("policy", "set", at(), "text+=*.tex");
    const [, first] = space.lines("log", at("/tree/inner/a.txt"));
    expect(first).toMatchObject({ size: 5 });
    space.do("restore", at("/tree/inner/a.txt"), "--at", String(first?.["root"]));
    expect(space.do("cat", at("/tree/inner/a.txt"))).toBe("first");
    expect(space.do("verify", at())).toContain("no problems found");
    expect(space.do("gc", at())).toContain("retained roots");
    expect(space.do("unlock", at())).toContain("was not locked");
    expect(space.do("conflicts", "list", at())).toBe("No conflicts.\n");
  });

  test("a command that reads loads neither SQLite nor HTTP/2", () => {
    space.do("init", at("", "loaded"));
    const shown =
      "process.on('exit', () => console.error(process.moduleLoadList.join(), process.report.getReport().sharedObjects.join()))";
    const env = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(shown)}` };
    const { err } = space.run(["ls", at("", "loaded")], { env });
    expect(err).toContain("NativeModule net,");
    expect(err).toContain("blake");
    expect(err).not.toMatch(/http2|sqlite/);
  });

  test("two folders stay the same, and status counts the requests", async () => {
    const [one, other] = [space.at("one"), space.at("other")];
    mkdirSync(one);
    for (let each = 0; each < 50; each++) writeFileSync(`${one}/${each}.bin`, `${each}`);
    space.do("init", at("", "synced"));
    expect(space.json("sync", at("", "synced"), one, "--once")).toMatchObject({ sent: { added: 50 } });
    expect(space.json("sync", at("", "synced"), other, "--once")).toMatchObject({ received: { files: 50 } });
    expect(readFileSync(`${other}/7.bin`, "utf8")).toBe("7");
    space.start(["sync", at("", "synced"), one]);
    const running = () => (space.json("status")["agents"] as Record<string, unknown>[]).length;
    await expect.poll(running).toBe(1);
    expect(space.status(one)).toMatchObject({
      requests: { list: 0, get: expect.any(Number), forMs: expect.any(Number) },
      costs: { requests: null, storage: null },
    });
    const free = space.run(["status", one, "--s3-prices", "put=free"]);
    expect(free.err).toContain('"put=free" in s3-prices is not a price');
  });

  test("WebDAV serves it", async () => {
    space.do("init", at("", "web"));
    const told = space.behind("webdav", at("", "web"), "--listen", "127.0.0.1:0", "--no-auth");
    const url = String(told["url"] ?? told["webdav"]);
    expect((await fetch(`${url.replace(/\/$/, "")}/note`, { method: "PUT", body: "over WebDAV" })).status).toBe(201);
    space.do("flush", url);
    expect(space.do("cat", at("/note", "web"))).toBe("over WebDAV");
  });

  test("doctor tests the server", () => {
    const { findings } = space.json("doctor", at("", "new")) as { findings: { what: string; state: string }[] };
    expect(findings).toContainEqual(expect.objectContaining({ what: "S3 server", state: "good" }));
  });

  test("a bucket with numbered roots is found as such by everyone", () => {
    space.do("init", at("", "numbered"), "--roots", "numbered");
    writeFileSync(space.at("n.txt"), "numbered");
    for (let each = 0; each < 3; each++) space.do("put", space.at("n.txt"), at(`/n${each}.txt`, "numbered"));
    expect(space.do("cat", at("/n2.txt", "numbered"))).toBe("numbered");
    expect(space.lines("log", at("", "numbered"))).toHaveLength(4);
    expect(space.do("verify", at("", "numbered"))).toContain("no problems found");
  });

  test("init refuses a bucket inside another one's prefix, in each form of its root", () => {
    for (const roots of ["replaced", "numbered"]) {
      space.do("init", at("", `outer-${roots}`), "--roots", roots);
      for (const inner of ["inner", "inner/most"]) {
        const { status, err } = space.run(["init", at("", `outer-${roots}/${inner}`)]);
        expect([status, err]).toEqual([4, expect.stringContaining(`is inside the bucket ${at("", `outer-${roots}`)}`)]);
      }
    }
    space.do("init", at("", "none/here"));
  });

  test("without a key, with a wrong one and without the S3 bucket, errors say what to do", () => {
    const none = { AWS_ACCESS_KEY_ID: "", AWS_EC2_METADATA_DISABLED: "true", HOME: space.path };
    const failed = (url: string, env = {}) => space.run(["ls", url, "--json"], { env }).err;
    expect(failed(at(), none)).toContain("AWS_ACCESS_KEY_ID");
    expect(failed(at(), { AWS_SECRET_ACCESS_KEY: "wrong" })).toContain("bad_token");
    expect(failed(at().replace("//bucket/", "//missing/"))).toContain("Make the S3 bucket");
  });

  test("a server that is away is an error that says so, and nothing is lost", async () => {
    await server.kill();
    const { status, err } = space.run(["put", space.at("n.txt"), at("/later.txt"), "--timeout", "1"]);
    expect([status, err]).toEqual([6, expect.stringContaining("does not answer")]);
    await server.start();
    space.do("put", space.at("n.txt"), at("/later.txt"));
    expect(space.do("verify", at())).toContain("no problems found");
  });
});

describe.each(serversHere("versitygw-1.7.0 with --all").here)("%s lets several racing writers succeed", (name) => {
  test("doctor and init refuse it and say why", async () => {
    using space = new Workspace("s3-refused");
    await using server = await S3Server.start(name, await temporaryFolder());
    Object.assign(space.env, server.env);
    const url = `s3://${server.bucket}/notes?endpoint=${server.endpoint}`;
    const doctor = space.run(["doctor", url, "--json"]);
    expect([doctor.status, doctor.out]).toEqual([1, expect.stringContaining("at once all succeed")]);
    const init = space.run(["init", url]);
    expect(init.status).not.toBe(0);
    expect(init.err).toContain(`The S3 server of ${url} cannot keep a bucket's root`);
    expect(init.err).toContain("at once all succeed");
  });
});

describe.each(serversHere("minio with --all").here)("%s keeps conditional writes", (name) => {
  test("a bucket is made, written, read, verified and collected, in both forms of its root", async () => {
    using space = new Workspace("s3-other");
    await using server = await S3Server.start(name, await temporaryFolder());
    Object.assign(space.env, server.env);
    writeFileSync(space.at("a.txt"), "text");
    for (const roots of ["replaced", "numbered"]) {
      const at = (path = "") => `s3://${server.bucket}/${roots}${path}?endpoint=${server.endpoint}`;
      space.do("init", at(), "--roots", roots);
      space.do("put", space.at("a.txt"), at("/a.txt"));
      expect(space.do("cat", at("/a.txt"))).toBe("text");
      expect(space.do("gc", at())).toContain("retained roots");
      expect(space.do("verify", at())).toContain("no problems found");
    }
  });
});
