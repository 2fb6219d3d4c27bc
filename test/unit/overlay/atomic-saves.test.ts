/** A file that an editor saves by a rename stays the same file through restarts and outages, also where it is moved afterwards. */
import { expect, test } from "vitest";
import { world, write } from "../../support/unit-world.ts";
import type { SimulatedAgent } from "../../support/simulated-agent.ts";

const BASE = "1\n2\n3\n";

test("after a checkpoint, a restart and a move, a save by rename merges with another agent's edit", async () => {
  const { a, b, start, settle } = await world();
  await start({ "f.txt": BASE });
  await save(b, "f.txt", "B\n2\n3\n");
  await b.vfs.checkpoint();
  await b.restart();
  await b.mount.rename("f.txt", "g.txt");
  await write(a, { "f.txt": "1\n2\nA\n" });
  expect((await settle()).others).toEqual({ "g.txt": "B\n2\nA\n" });
});

test("after a checkpoint and a restart, a sealed save by rename merges with another agent's edit", async () => {
  const { remote, a, b, start, settle } = await world();
  await start({ "f.txt": BASE });
  remote.unreachable = true;
  await save(b, "f.txt", "B\n2\n3\n");
  await b.mount.rename("f.txt", "g.txt");
  await b.flush();
  await b.vfs.checkpoint();
  remote.unreachable = false;
  await b.restart();
  await write(a, { "f.txt": "1\n2\nA\n" });
  await a.flush();
  expect((await settle()).others).toEqual({ "g.txt": "B\n2\nA\n" });
});

test("a save by rename over one that waited for the bucket merges with another agent's edit", async () => {
  const { remote, a, b, start, settle } = await world();
  await start({ "f.txt": BASE });
  remote.unreachable = true;
  await save(b, "f.txt", "b\n2\n3\n");
  await b.flush();
  await save(b, "f.txt", "B\n2\n3\n");
  await b.mount.rename("f.txt", "g.txt");
  await write(a, { "f.txt": "1\n2\nA\n" });
  remote.unreachable = false;
  await a.flush();
  expect((await settle()).others).toEqual({ "g.txt": "B\n2\nA\n" });
});

/** As editors do it. */
async function save({ mount }: SimulatedAgent, path: string, text: string): Promise<void> {
  await mount.create(".tmp", Buffer.from(text));
  await mount.rename(".tmp", path);
}
