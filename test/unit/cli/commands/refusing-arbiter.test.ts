/** Commands whose arbiter answers, but refuses them: a real PostgreSQL. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Client } from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { commandsFor } from "../../../../src/cli/commands.ts";
import { runCommandLine } from "../../../../src/cli/program.ts";
import { commandTree, tailOf } from "../../../support/command-tree.ts";
import { createFakeRuntime } from "../../../support/fake-runtime.ts";
import { postgresHere, PostgresServer } from "../../../support/postgres-server.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

describe.skipIf(postgresHere() === undefined)("an arbiter that refuses", () => {
  let server: PostgresServer;
  let folder: string;
  let caches = 0;
  beforeAll(async () => {
    folder = await temporaryFolder();
    server = await PostgresServer.start(await temporaryFolder());
    const rules = join(server.data, "pg_hba.conf");
    const own = [
      "host all wanted all scram-sha-256",
      "hostssl all encrypted all trust",
      "host all encrypted all reject",
    ];
    writeFileSync(rules, [...own, readFileSync(rules, "utf8")].join("\n"));
    const admin = new Client({ connectionString: server.url });
    await admin.connect();
    await admin.query("SELECT pg_reload_conf()");
    await admin.query("CREATE ROLE wanted LOGIN PASSWORD 'right'");
    await admin.query("CREATE ROLE encrypted LOGIN");
    await admin.query("CREATE ROLE plain LOGIN");
    await admin.query("CREATE DATABASE owned OWNER plain");
    await admin.query("CREATE DATABASE leases OWNER plain");
    await admin.query("CREATE DATABASE wanted OWNER wanted");
    await admin.end();
  });
  afterAll(() => server?.end());
  beforeEach(() => {
    vi.stubEnv("PGPASSWORD", "");
    vi.stubEnv("PGPASSFILE", "/nowhere");
  });
  afterEach(() => void vi.unstubAllEnvs());

  const url = (user: string, database: string) => server.url.replace("postgres@", `${user}@`).replace(/\w+$/, database);
  const run = async (name: string, arbiter: string, ...more: string[]) => {
    const store = name.startsWith("migrate") ? [] : ["--store", `file://${join(folder, "packs")}`];
    const listen = name === "serve" ? ["--listen", "127.0.0.1:0", "--data", join(folder, `cache${++caches}`)] : [];
    const args = [...name.split(" "), "--arbiter", arbiter, ...store, ...listen, ...more];
    const runtime = createFakeRuntime({});
    const status = await runCommandLine(args, runtime, await commandsFor(args), "1.2.3");
    return { status, err: runtime.err() };
  };

  test.each(["migrate up", "migrate down", "migrate status", "serve"])(
    "%s without the password that it wants ends with 5, as its help says, and names where passwords go",
    async (name) => {
      const { status, err } = await run(name, url("wanted", "wanted"));
      expect({ status, err }).toMatchObject({
        status: 5,
        err: expect.stringContaining("PostgreSQL wants a password."),
      });
      expect(err).toMatch(/PGPASSWORD.*~\/\.pgpass/);
      expect(err).not.toMatch(/uploads wait/);
      const found = (await commandTree()).leaves.find((each) => each.name === name);
      expect(found && tailOf(found).exits).toContain(status);
    },
  );

  test("verify says what the server said, not that uploads wait", async () => {
    mkdirSync(join(folder, "packs"), { recursive: true });
    writeFileSync(join(folder, "packs", "arbiter"), "1");
    const { status, err } = await run("verify", url("wanted", "wanted"));
    expect({ status, err }).toMatchObject({ status: 5, err: expect.stringContaining("PostgreSQL wants a password.") });
    expect(err).not.toMatch(/uploads wait/);
  });

  test.each([
    ["a wrong password", "wanted:wrong", "wanted", "", 5, /password authentication failed[^]*PGPASSWORD/],
    ["an unknown role", "nobody", "owned", "", 5, /role "nobody" does not exist[^]*createuser nobody/],
    [
      "no rights on the schema",
      "wanted:right",
      "owned",
      "",
      5,
      /permission denied[^]*ALTER DATABASE owned OWNER TO wanted/,
    ],
    ["no such database", "plain", "absent", "", 2, /"absent" does not exist[^]*createdb -O plain absent/],
    ["no encryption where the server wants it", "encrypted", "owned", "", 5, /pg_hba[^]*sslmode=verify-full/],
    ["encryption that the server lacks", "plain", "owned", "?sslmode=verify-full", 2, /encryption[^]*sslmode/],
    [
      "no file of certificates",
      "plain",
      "owned",
      "?sslrootcert=/nowhere/ca.pem",
      2,
      /\/nowhere\/ca.pem[^]*sslrootcert/,
    ],
  ])("%s", async (_, user, database, rest, status, said) => {
    expect(await run("migrate up", url(user, database) + rest)).toMatchObject({
      status,
      err: expect.stringMatching(said),
    });
  });

  test("the owner of a database makes the tables", async () => {
    expect(await run("migrate up", url("plain", "owned"))).toEqual({ status: 0, err: "" });
  });

  test("serve beside a master with another lease ends with 2 and names that one", async () => {
    const arbiter = url("plain", "leases");
    expect(await run("migrate up", arbiter)).toEqual({ status: 0, err: "" });
    const client = new Client({ connectionString: arbiter });
    await client.connect();
    onTestFinished(() => client.end());
    const row = "INSERT INTO syncline_masters VALUES ('1', 'https://a.example', true, '1.2.3+lease.86400', now())";
    await client.query(row);
    const { status, err } = await run("serve", arbiter, "--lease", "30s");
    expect({ status, err }).toMatchObject({ status: 2, err: expect.stringContaining("https://a.example") });
    expect(err).toMatch(/--lease 24h, this one with 30s/);
    expect((await client.query("SELECT id FROM syncline_masters")).rows).toEqual([{ id: "1" }]);
  });
});
