/** Programs that have more files open than are noted for the agent that replaces a killed one. */
import { describe, expect, test } from "vitest";
import { ERRNO } from "../../../src/base/errno.ts";
import { VfsDriver } from "../../../src/simulate/vfs-driver.ts";
import { filesOf, openToWrite, world, write } from "../../support/unit-world.ts";

const NOTED = 1_000;

describe.each(["note.txt", "app.db"])("of more than 1,000 open %s that others have changed", (name) => {
  const paths = Array.from({ length: NOTED + 20 }, (_, index) => `${index}/${name}`);
  const all = (text: string) => Object.fromEntries(paths.map((path) => [path, text]));

  test("the rest cannot be written after the agent was killed, until they are opened again: no versions mix", async () => {
    const { a, b, start } = await world();
    await start({ ...all("0000"), "unchanged.txt": "0000" });
    const [unchanged, ...open] = await Promise.all(["unchanged.txt", ...paths].map((path) => openToWrite(b, path)));
    await a.catchUp();
    await write(a, all("aaaa"));
    await a.flush();
    await b.catchUp();
    for (let kill = 0; kill < 2; kill++) await b.replace();
    const programs = new VfsDriver(b.vfs);
    const written = await Promise.allSettled(open.map(({ ino }) => programs.write(ino, 0, "1")));
    const refused = written.flatMap((each) => (each.status === "rejected" ? [each.reason] : []));
    expect(refused).toHaveLength(20);
    expect(new Set(refused.map(({ errno }) => errno))).toEqual(new Set([ERRNO.ESTALE]));
    for (const each of [unchanged, ...open]) if (each !== undefined) b.vfs.releaseVersion(each.ino);
    const again = await openToWrite(b, paths[written.findIndex(({ status }) => status === "rejected")] ?? "");
    await again.write(0, "2");
    again.close();
    for (let round = 0; round < 2; round++) for (const agent of [b, a]) await agent.flush();
    const texts = Object.entries(await filesOf(a)).flatMap(([path, text]) => (path.includes("/") ? [text] : []));
    const expected = [
      ...Array.from({ length: NOTED }, () => "1000"),
      "2aaa",
      ...Array.from({ length: NOTED + 19 }, () => "aaaa"),
    ];
    expect(texts.toSorted()).toEqual(expected);
  });
});
