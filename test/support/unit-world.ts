/** Two agents on one bucket that write in repositories and databases, and the final files. */
import { expect } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import type { Ino } from "../../src/base/ids.ts";
import { verifyBucket } from "../../src/bucket/verify.ts";
import { isDirectory } from "../../src/simulate/judges/shown.ts";
import { VfsDriver } from "../../src/simulate/vfs-driver.ts";
import { MemoryRemote } from "./memory-remote.ts";
import { SimulatedAgent } from "./simulated-agent.ts";
import { createBucket, openBucket } from "./test-bucket.ts";

/** Text by path. */
export type Files = Readonly<Record<string, string>>;

/** `seeds` decide which change wins if both have the same Lamport counter. */
export async function world(seeds = { a: 11, b: 12 }) {
  const remote = new MemoryRemote();
  await createBucket(remote);
  const a = await SimulatedAgent.start(remote, "a", seeds.a, systemClock);
  const b = await SimulatedAgent.start(remote, "b", seeds.b, systemClock);
  const start = async (files: Files) => {
    await write(a, files);
    await a.flush();
    await b.flush();
  };
  /** Publishes everything, and returns the files on both agents. */
  const settle = async () => {
    for (const agent of [b, a, b, a]) await agent.flush();
    for (const { trouble, vfs } of [a, b]) expect([trouble, vfs.pending().files]).toEqual([undefined, 0]);
    const shown = await filesOf(a);
    expect(await filesOf(b)).toEqual(shown);
    expect((await verifyBucket(await openBucket(remote), { blocks: remote.blocks })).damage).toEqual([]);
    return sorted(shown);
  };
  return { remote, a, b, start, settle };
}

export async function write({ mount }: SimulatedAgent, files: Files): Promise<void> {
  for (const [path, text] of Object.entries(files)) {
    const parts = path.split("/").slice(0, -1);
    for (const [index] of parts.entries()) {
      const directory = parts.slice(0, index + 1).join("/");
      if ((await mount.show(directory)) === undefined) await mount.makeDirectory(directory);
    }
    const bytes = Buffer.from(text);
    if ((await mount.show(path)) === undefined) await mount.create(path, bytes);
    else await mount.edit(path, () => ({ offset: 0, bytes, size: 0 }));
  }
}

export async function filesOf({ mount }: Pick<SimulatedAgent, "mount">, path = ""): Promise<Record<string, string>> {
  const files: Record<string, string> = {};
  for (const name of await mount.list(path)) {
    const at = path === "" ? name : `${path}/${name}`;
    const shown = await mount.show(at);
    if (shown !== undefined && isDirectory(shown.attributes)) Object.assign(files, await filesOf({ mount }, at));
    else files[at] = shown?.contents.toString() ?? "";
  }
  return files;
}

/** Groups files by unit, without the names of copies. */
export function sorted(files: Files) {
  const databases = new Map<string, Record<string, string>>();
  const repositories = new Map<string, Record<string, string>>();
  const others: Record<string, string> = {};
  for (const [path, text] of Object.entries(files)) {
    const [, main = "", suffix = ""] = /^(.*\.db)(|-wal|-shm|-journal)$/.exec(path) ?? [];
    const [, repository = "", inside = ""] = /^(\.git[^/]*)\/(.*)$/.exec(path) ?? [];
    const [group, key, name] = main === "" ? [repositories, repository, inside] : [databases, main, suffix];
    if (key === "") others[path] = text;
    else group.set(key, { ...group.get(key), [name]: text });
  }
  return { databases: inOrder([...databases.values()]), repositories: inOrder([...repositories.values()]), others };
}

export function inOrder(units: readonly Record<string, string>[]): Record<string, string>[] {
  const texts = new Map(units.map((unit) => [JSON.stringify(Object.entries(unit).toSorted()), unit]));
  return [...texts].toSorted(([x], [y]) => (x < y ? -1 : 1)).map(([, unit]) => unit);
}

/** Publishes, and runs an action just before the swap. */
export async function whileSwapping(
  remote: MemoryRemote,
  agent: SimulatedAgent,
  work: () => Promise<void>,
): Promise<void> {
  remote.beforeSwap = async () => {
    remote.beforeSwap = async () => {};
    await work();
  };
  await agent.flush();
}

/** The path of the inode with this number. */
export async function pathOf({ vfs }: SimulatedAgent, ino: Ino): Promise<string> {
  return new VfsDriver(vfs).run((mounted) => mounted.pathOf(ino));
}

/** Changes files on top of what others published, and publishes that. */
export async function saveThere(agent: SimulatedAgent, files: Files): Promise<void> {
  await agent.catchUp();
  await write(agent, files);
  await agent.flush();
}

/** As the FUSE door does for a program. */
export async function openToWrite({ vfs, mount }: SimulatedAgent, path: string) {
  const { ino } = await mount.stat(path);
  const driver = new VfsDriver(vfs);
  await driver.run(() => vfs.holdVersion(ino));
  return {
    ino,
    write: async (offset: number, text: string) => {
      await driver.write(ino, offset, text);
      vfs.persist();
      mount.invalidate({ entries: [], inodes: [ino], all: false });
    },
    truncate: () => {
      vfs.setAttributes(ino, { size: 0 });
      vfs.persist();
    },
    read: () => contents(driver, ino),
    close: () => vfs.releaseVersion(ino),
  };
}

async function contents(driver: VfsDriver, ino: Ino): Promise<string> {
  const bytes = Buffer.alloc(64);
  const count = await driver.run((vfs) => vfs.read(ino, 0, bytes.length, bytes));
  return bytes.toString("latin1", 0, count);
}
