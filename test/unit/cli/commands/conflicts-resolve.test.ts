/** `syncline conflicts resolve`: nothing is decided over a version that nobody saw, or that is too young. */
import { PassThrough, Writable } from "node:stream";
import { describe, expect, test } from "vitest";
import { systemClock } from "../../../../src/base/clock.ts";
import { nameFromText } from "../../../../src/base/names.ts";
import { ConflictedBucket, write } from "../../../support/conflicted-bucket.ts";

/** A conflict over f.bin, and one over a repository whose copy is a directory. */
async function conflicted() {
  const bucket = await ConflictedBucket.create();
  await bucket.edit(write("f.bin", "old\n"), write("r/.git/config", "old\n"));
  await bucket.edit(
    async (writer) => {
      await write("f.bin", "one\n")(writer);
      await write("r/.git/config", "one\n")(writer);
    },
    async (writer) => {
      await write("f.bin", "two\n")(writer);
      await write("r/.git/config", "two\n")(writer);
    },
  );
  const paths = Object.keys(await bucket.paths());
  const copy = paths.find((path) => /^f \(conflict [0-9a-f]{8}\)\.bin$/.test(path)) ?? "no copy";
  const config = paths.find((path) => /^r\/\.git \(conflict [0-9a-f]{8}\)\/config$/.test(path)) ?? "no copy";
  return { bucket, copy, config };
}

describe("--all-older-than", () => {
  /** Resolves what nobody changed since `timeNs`. */
  const resolve = (bucket: ConflictedBucket, timeNs: bigint, keep: string) => {
    const clock = { ...systemClock, nowNs: () => timeNs + 3_600_000_000_000n };
    return bucket.runWith({ clock }, "conflicts", "resolve", bucket.address, "--all-older-than", "1h", "--keep", keep);
  };

  test.each([
    ["kept", "a copy", (paths: { copy: string }) => paths.copy],
    ["copy", "a version that kept the name", () => "f.bin"],
    ["kept", "a file in a copied directory", (paths: { config: string }) => paths.config],
    ["copy", "a file in a directory that kept the name", () => "r/.git/config"],
  ])("--keep %s leaves %s that was edited since", async (keep, _, editedOf) => {
    const { bucket, ...paths } = await conflicted();
    const then = systemClock.nowNs();
    const edited = editedOf(paths);
    await bucket.edit(write(edited, "edited\n"));
    expect(await resolve(bucket, then, keep)).toMatchObject({ status: 0 });
    const { [edited]: text, ...others } = await bucket.paths();
    expect(text).toBe("edited\n");
    const resolved = edited.startsWith("r") ? paths.copy : paths.config;
    expect(Object.keys(others)).not.toContain(resolved);
  });
});

describe("--all-older-than over a file that a person gave a name like a conflict copy's", () => {
  const OWN = "report (conflict 12345678).doc";

  test.each(["kept", "copy", "both"])("leaves it, and the file beside it, with --keep %s", async (keep) => {
    const { bucket, copy } = await conflicted();
    await bucket.edit(write("report.doc", "report\n"), write(OWN, "a person's\n"));
    const all = ["conflicts", "resolve", bucket.address, "--all-older-than", "1s", "--keep", keep];
    const clock = { ...systemClock, nowNs: () => systemClock.nowNs() + 3_600_000_000_000n };
    const { status, err } = await bucket.runWith({ clock }, ...all);
    expect([status, err]).toEqual([0, expect.stringContaining(`${OWN} stays as it is: no merge made it`)]);
    const paths = await bucket.paths();
    expect(paths).toMatchObject({ "report.doc": "report\n", [OWN]: "a person's\n" });
    expect(Object.keys(paths)).not.toContain(copy);
  });

  test("decides about it when it is named", async () => {
    const bucket = await ConflictedBucket.create();
    await bucket.edit(write("report.doc", "report\n"), write(OWN, "a person's\n"));
    const named = await bucket.run("conflicts", "resolve", `${bucket.address}/${OWN}`, "--keep", "kept");
    expect(named).toMatchObject({ status: 0 });
    expect(Object.keys(await bucket.paths())).toEqual(["report.doc"]);
  });

  test("resolves what lost its name to another object, though it does not say so", async () => {
    const bucket = await ConflictedBucket.create();
    const makeFolder = (writer: Parameters<ReturnType<typeof write>>[0]) => write("d/below", "folder\n")(writer);
    await bucket.edit(write("a", "one\n"), write("b", "two\n"));
    const move = (from: string, to: string) => (writer: Parameters<ReturnType<typeof write>>[0]) =>
      writer.move([nameFromText(from)], [nameFromText(to)]);
    await bucket.edit(move("a", "c"), move("b", "c"));
    await bucket.edit(makeFolder, write("d", "file\n"));
    const before = Object.keys(await bucket.paths());
    expect(before.filter((path) => path.includes("(conflict "))).toHaveLength(2);
    const all = ["conflicts", "resolve", bucket.address, "--all-older-than", "1s", "--keep", "kept"];
    const clock = { ...systemClock, nowNs: () => systemClock.nowNs() + 3_600_000_000_000n };
    expect(await bucket.runWith({ clock }, ...all)).toMatchObject({ status: 0 });
    expect(Object.keys(await bucket.paths())).toEqual(["c", "d", "d/below"]);
  });
});

describe("a database with journals", () => {
  async function databases() {
    const bucket = await ConflictedBucket.create();
    const all = (text: string) => [write("app.db", text), write("app.db-wal", `${text} journal`)];
    const edit = (text: string) => async (writer: Parameters<ReturnType<typeof write>>[0]) => {
      for (const each of all(text)) await each(writer);
    };
    await bucket.edit(edit("old"));
    await bucket.edit(edit("one"), edit("two"));
    const copy = Object.keys(await bucket.paths()).find((path) => /^app \(conflict .*\)\.db$/.test(path)) ?? "no copy";
    return { bucket, copy };
  }

  test.each(["app.db", "app.db-wal", "app.db-shm", "COPY", "COPY-wal", "COPY-shm"])(
    "is left as a whole if %s was edited or made since",
    async (name) => {
      const { bucket, copy } = await databases();
      const then = systemClock.nowNs();
      await bucket.edit(write(name.replace("COPY", copy), "edited"));
      const before = await bucket.paths();
      for (const keep of ["kept", "copy", "both"]) {
        const clock = { ...systemClock, nowNs: () => then + 3_600_000_000_000n };
        const args = ["conflicts", "resolve", bucket.address, "--all-older-than", "1h", "--keep", keep];
        expect(await bucket.runWith({ clock }, ...args)).toMatchObject({ status: 0 });
        expect(await bucket.paths()).toEqual(before);
      }
    },
  );
});

describe("a person who is asked", () => {
  /** Answers 1, and does something between question and answer. */
  async function answered(bucket: ConflictedBucket, meanwhile: () => Promise<unknown>) {
    const env = { XDG_CONFIG_HOME: "/nowhere", NO_COLOR: "1" };
    const stdin = Object.assign(new PassThrough(), { isTTY: true });
    const shown: string[] = [];
    const show = new Writable({
      write(chunk: Buffer, _encoding, done) {
        shown.push(chunk.toString());
        if (chunk.includes("Which version")) void meanwhile().then(() => stdin.write("1\n"));
        done();
      },
    });
    const stderr = Object.assign(show, { isTTY: true });
    const { status } = await bucket.runWith({ stdin, stderr, env }, "conflicts", "resolve", `${bucket.address}/f.bin`);
    return { status, shown: shown.join("") };
  }

  test("decides", async () => {
    const { bucket, copy } = await conflicted();
    expect(await answered(bucket, async () => {})).toMatchObject({ status: 0 });
    expect(Object.keys(await bucket.paths())).not.toContain(copy);
  });

  test.each([
    ["a copy is edited", (bucket: ConflictedBucket, copy: string) => bucket.edit(write(copy, "edited\n"))],
    ["the kept file is edited", (bucket: ConflictedBucket) => bucket.edit(write("f.bin", "edited\n"))],
    [
      "another version loses, too",
      (bucket: ConflictedBucket) => bucket.edit(write("f.bin", "three\n"), write("f.bin", "four\n")),
    ],
    [
      "the kept file goes",
      (bucket: ConflictedBucket) => bucket.edit((writer) => writer.remove([nameFromText("f.bin")])),
    ],
  ])("decides nothing over versions that were not shown: %s", async (_, edit) => {
    const { bucket, copy } = await conflicted();
    let before: Record<string, string> = {};
    const { status, shown } = await answered(bucket, async () => {
      await edit(bucket, copy);
      before = await bucket.paths();
    });
    expect(status).toBe(4);
    expect(shown).toContain("/f.bin: its versions have changed meanwhile.");
    expect(await bucket.paths()).toEqual(before);
  });
});
