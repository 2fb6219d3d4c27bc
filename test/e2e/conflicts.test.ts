/** Conflicts as people meet them: two mounts of one bucket, a file written in both, and the commands that tell of it and decide it. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  copyFileSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { commandLines, runCommand } from "../support/command-line.ts";
import { whyNoMount } from "../support/fuse-process.ts";
import { Workspace } from "../support/syncline.ts";

const reason = whyNoMount();
const ROOT = /^bafyr4i[a-z2-7]{52}$/;
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const COPY = /^notes \(conflict [0-9a-f]{8}\)\.bin$/;
const WRITER = /^[0-9a-f]{32}$/;
const text = (pattern: RegExp) => expect.stringMatching(pattern) as string;

interface Agent {
  readonly base: string;
  readonly conflicts: readonly { readonly path: string }[];
}

describe.skipIf(reason !== undefined)(
  `conflicts on mounts${reason === undefined ? "" : ` (skipped: ${reason})`}`,
  () => {
    let space: Workspace;
    let url: string;
    const dirs: string[] = [];

    beforeAll(async () => {
      space = new Workspace("conflicts");
      url = space.url("bucket");
      await run("init", url);
      for (const name of ["one", "two"]) {
        const dir = space.mountPoint(name);
        space.mount(url, dir);
        dirs.push(dir);
      }
    }, 180_000);
    afterAll(() => space[Symbol.dispose]());

    const run = (...args: string[]) => runCommand(space, ...args);
    const lines = (...args: string[]) => commandLines(space, ...args);
    const agent = async (dir: string): Promise<Agent> => {
      const [status] = await lines("status", dir);
      const [found] = (status?.["agents"] ?? []) as Agent[];
      if (found === undefined) throw new Error(`no agent at ${dir}`);
      return found;
    };

    /** Waits as long as a busy machine may take. */
    const until = (claim: () => unknown, expected: unknown) =>
      expect.poll(claim, { timeout: 60_000 }).toEqual(expected);
    const seen = async () => (await Promise.all(dirs.map(agent))).flatMap(({ conflicts }) => conflicts);
    const newest = async () => (await lines("log", url, "-n", "1"))[0]?.["root"];
    const shown = (dir: string) => readdirSync(dir).toSorted();
    const agreed = async () => {
      for (const dir of dirs) await run("flush", dir);
      const head = await newest();
      await until(async () => (await Promise.all(dirs.map(agent))).map(({ base }) => base), [head, head]);
    };

    /** Both write while neither can publish: two bytes at once, so that no version in between can be published. */
    async function conflict(...files: string[]): Promise<void> {
      renameSync(space.at("bucket"), space.at("away"));
      for (const [index, dir] of dirs.entries()) {
        for (const file of files) {
          const open = openSync(join(dir, file), "r+");
          writeSync(open, `${index + 1}\n`);
          closeSync(open);
        }
      }
      renameSync(space.at("away"), space.at("bucket"));
      await agreed();
    }

    /** Files that both have. */
    async function both(...files: string[]): Promise<void> {
      for (const file of files) writeFileSync(join(dirs[0] ?? "", file), "0\n");
      await agreed();
      for (const dir of dirs) await until(() => shown(dir), expect.arrayContaining(files));
    }

    test("appear in status and list, and can be shown, compared, previewed and resolved", async () => {
      const [one = "", two = ""] = dirs;
      await both("notes.bin");
      await conflict("notes.bin");
      const copy = shown(one).find((name) => COPY.test(name)) ?? "";
      expect(shown(one)).toEqual([copy, "notes.bin"].toSorted());
      expect(shown(two)).toEqual(shown(one));
      const [kept, gave] = ["notes.bin", copy].map((name) => readFileSync(join(two, name), "utf8"));
      expect([kept, gave].toSorted()).toEqual(["1\n", "2\n"]);
      // The one that merged tells it, by its own name or by the other's id.
      const machine = expect.toSatisfy((name: string) => name === hostname() || WRITER.test(name)) as string;
      expect(await seen()).toEqual([{ path: "notes.bin", machine, time: text(TIME) }]);
      expect((await Promise.all(dirs.map((dir) => run("status", dir)))).join("")).toContain(
        "conflicts  1, newest: notes.bin\n",
      );

      const version = { type: "file", size: 2, machine: hostname(), time: text(TIME), root: text(ROOT) };
      const rule = text(/content/);
      for (const at of [one, two, url]) {
        expect(await lines("conflicts", "list", at)).toMatchObject([
          { path: "notes.bin", machine: hostname(), time: text(TIME), rule, copies: [{ path: copy, ...version }] },
        ]);
      }
      for (const file of ["notes.bin", copy]) {
        expect(await lines("conflicts", "show", join(two, file))).toMatchObject([
          {
            path: "notes.bin",
            kept: { path: "notes.bin", ...version },
            copies: [{ path: copy, kind: "copy", ...version, rule }],
          },
        ]);
      }
      const patch = text(new RegExp(`^-${kept?.trim()}\n\\+${gave?.trim()}$`, "m"));
      expect(await lines("conflicts", "diff", join(one, copy))).toMatchObject([
        { kept: "notes.bin", path: copy, patch },
      ]);
      expect(await run("conflicts", "diff", join(one, "notes.bin"))).toContain(`\n-${kept}+${gave}`);

      const resolve = ["conflicts", "resolve", join(two, "notes.bin"), "--keep", "copy"];
      const answer = { path: "notes.bin", version: copy, done: "took the name", to: "notes.bin" };
      const merged = await newest();
      expect(await lines(...resolve, "--dry-run")).toEqual([{ dryRun: true, resolved: [answer] }]);
      expect(await newest()).toBe(merged);
      expect(await lines(...resolve)).toMatchObject([{ dryRun: false, resolved: [answer], root: text(ROOT) }]);
      for (const dir of dirs) {
        await until(() => shown(dir), ["notes.bin"]);
        await until(() => readFileSync(join(dir, "notes.bin"), "utf8"), gave);
      }
      expect(await run("conflicts", "list", one)).toBe("No conflicts.\n");
    });

    test("between a file that a program keeps open and writes, and one saved meanwhile, mix nothing", async () => {
      const [one = "", two = ""] = dirs;
      await both("disk.bin");
      const open = openSync(join(two, "disk.bin"), "r+");
      writeSync(open, "1", 0);
      await agreed();
      await until(() => readFileSync(join(one, "disk.bin"), "utf8"), "1\n");
      writeFileSync(join(one, "disk.bin"), "saved\n");
      await agreed();
      expect(readFileSync(join(two, "disk.bin"), "utf8")).toBe("1\n");
      for (const end of ["2\n", "3\n"]) {
        writeSync(open, end, 1);
        await agreed();
      }

      const bytes = Buffer.alloc(3);
      readSync(open, bytes, 0, bytes.length, 0);
      expect(bytes.toString()).toBe("13\n");
      closeSync(open);
      const versions = (dir: string) =>
        shown(dir)
          .filter((name) => name.startsWith("disk"))
          .map((name) => readFileSync(join(dir, name), "utf8"));
      for (const dir of dirs) await until(() => versions(dir).toSorted(), ["13\n", "saved\n"]);
      await run("conflicts", "resolve", join(one, "disk.bin"), "--keep", "kept");
    });

    test("programs that run or read a file keep its version while another machine replaces it", async () => {
      const [one = "", two = ""] = dirs;
      copyFileSync("/bin/sleep", join(one, "tool"));
      await agreed();
      await until(() => shown(two), expect.arrayContaining(["tool"]));
      const program = spawn(join(two, "tool"), ["600"], { stdio: "ignore" });
      await once(program, "spawn");
      const bytes = readFileSync(join(two, "tool"));
      const opened = openSync(join(two, "tool"), "r");
      writeFileSync(join(one, "tool.new"), "#!/bin/sh\n", { mode: 0o755 });
      renameSync(join(one, "tool.new"), join(one, "tool"));
      await until(() => readFileSync(join(two, "tool"), "latin1"), "#!/bin/sh\n");
      expect(readFileSync(opened).equals(bytes)).toBe(true);
      expect(program.exitCode ?? program.signalCode).toBeNull();
      program.kill();
      closeSync(opened);
    });

    test("are predicted by merge --dry-run, which writes nothing", async () => {
      const [dir = ""] = dirs;
      const roots: string[] = [];
      for (const bytes of ["1", "2", "3"]) {
        writeFileSync(join(dir, "foretold.bin"), bytes);
        await run("flush", dir);
        roots.push(String(await newest()));
      }
      const [base, x, y] = roots;
      const other = text(/^foretold \(conflict [0-9a-f]{8}\)\.bin$/);
      for (const at of [dir, url]) {
        expect(await lines("merge", "--dry-run", at, ...roots)).toMatchObject([
          { base, x, y, conflicts: [{ kind: "copy", kept: "foretold.bin", other }] },
        ]);
      }
      expect(await run("merge", "--dry-run", dir, ...roots)).toMatch(/, 1 conflict$/m);
      expect(await newest()).toBe(y);
    });

    test("older than a given age are resolved together", async () => {
      await both("a.bin", "b.bin");
      await conflict("a.bin", "b.bin");
      const paths = (await seen()).map(({ path }) => path);
      expect(paths).toEqual(expect.arrayContaining(["a.bin", "b.bin"]));
      const resolve = ["conflicts", "resolve", dirs[0] ?? "", "--keep", "kept", "--all-older-than"];
      expect(await lines(...resolve, "1h")).toEqual([{ dryRun: false, resolved: [] }]);
      const [done] = await lines(...resolve, "0.001s");
      expect(done?.["resolved"]).toMatchObject([
        { path: "a.bin", done: "removed", to: null },
        { path: "b.bin", done: "removed", to: null },
      ]);
      for (const dir of dirs) await until(() => shown(dir).filter((name) => name.includes("conflict")), []);
      expect(await lines("conflicts", "list", url)).toEqual([]);
      expect(await lines("verify", url)).toMatchObject([{ damaged: 0 }]);
    });
  },
);
