/** Two masters whose PostgreSQL is away: reads go on, and changes wait. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, expect, test } from "vitest";
import { walletSigner } from "../../src/crypto/wallet.ts";
import { postgresHere, PostgresServer } from "../support/postgres-server.ts";
import { Workspace } from "../support/syncline.ts";

const { wallet } = walletSigner(new Uint8Array(32).fill(0x42));
const running = new Set<ChildProcess>();
let space: Workspace;

beforeAll(() => void (space = new Workspace("stale-roots")));
afterAll(() => {
  space[Symbol.dispose]();
  for (const child of running) child.kill("SIGKILL");
});

async function serve(...args: string[]) {
  const options = ["serve", "--json", "--listen", "127.0.0.1:0", "--allow", wallet, ...args];
  const [program = "", ...rest] = Workspace.command(...options);
  const child = spawn(program, rest, { env: space.env, stdio: ["ignore", "pipe", "ignore"] });
  running.add(child);
  const [line] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
  const { origin } = JSON.parse(line) as { origin: string };
  return { origin, child };
}

const canMount = process.getuid?.() === 0 && process.platform === "linux";

test.skipIf(postgresHere() === undefined || !canMount)(
  "while no master reaches its arbiter, mounts and commands read on, and changes wait",
  async () => {
    await using postgres = await PostgresServer.start(space.at());
    space.do("migrate", "up", "--arbiter", postgres.url);
    const storage = ["--arbiter", postgres.url, "--store", space.url("packs")];
    const [first, second] = [await serve(...storage), await serve(...storage)];
    const [one, two] = [first.origin, second.origin];
    const bucket = `${one},${new URL(two).host}/notes`;
    writeFileSync(space.at("note.txt"), "noted\n");
    writeFileSync(space.at("later.txt"), Buffer.alloc(300_000, "read later\n"));
    space.do("init", bucket);
    space.do("put", space.at("note.txt"), `${bucket}/note.txt`);
    space.do("put", space.at("later.txt"), `${bucket}/later.txt`);
    for (const origin of [one, two]) space.do("ls", `${origin}/notes`);
    // The second master knows an older root of this bucket than this machine does.
    const older = `${one},${new URL(two).host}/older`;
    space.do("init", older);
    space.do("ls", `${two}/older`);
    space.do("put", space.at("note.txt"), `${older}/newest.txt`);
    space.do("put", space.at("note.txt"), `${two}/notes/reads-the-log.txt`);
    const dir = space.mountPoint("mount");
    space.mount(bucket, dir);

    await postgres.stop("SIGKILL");
    expect(readFileSync(join(dir, "later.txt"), "utf8")).toBe(readFileSync(space.at("later.txt"), "utf8"));
    // A machine that has never seen the bucket.
    const env = { XDG_STATE_HOME: space.at("other-state") };
    const cat = space.run(["cat", `${bucket}/note.txt`], { env });
    expect(cat).toMatchObject({ status: 0, out: "noted\n" });
    expect(cat.err).toContain("No master can reach the roots");
    expect(space.run(["ls", bucket]).out).toContain("later.txt");
    const got = space.run(["get", `${bucket}/note.txt`, space.at("got.txt"), "--json"]);
    expect(JSON.parse(got.out)).toMatchObject({ files: 1, stale: true });
    expect(space.run(["cat", `${bucket}/note.txt`, "--accept"], { env }).status).toBe(6);
    expect(space.run(["put", space.at("note.txt"), `${bucket}/new.txt`, "--timeout", "1"]).status).toBe(6);
    expect(space.run(["gc", bucket, "--timeout", "1"]).status).toBe(6);
    writeFileSync(join(dir, "waits.txt"), "waits\n");

    first.child.kill("SIGKILL");
    await once(first.child, "exit");
    expect(space.run(["ls", older], { env }).out).toBe("");
    expect(space.run(["cat", `${older}/newest.txt`])).toMatchObject({ status: 0, out: "noted\n" });

    postgres.start();
    space.do("flush", dir);
    const after = space.run(["cat", `${bucket}/waits.txt`]);
    expect(after).toMatchObject({ status: 0, out: "waits\n", err: "" });
  },
);
