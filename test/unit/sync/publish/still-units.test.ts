/** Programs that write to a repository or a database while a pass publishes it: the bucket gets it as it was at one moment. */
import { expect, test } from "vitest";
import {
  afterListing,
  bucketTree,
  path,
  settle,
  settledTree,
  type SyncedFolder,
  type SyncWorld,
  twoFolders,
} from "../../../support/sync-world.ts";

const REPOSITORY = { ".git/HEAD": "main", ".git/objects/1": "one", ".git/refs/main": "1" };

/** A repository with one commit that both folders show. */
async function committed(): Promise<{ world: SyncWorld; a: SyncedFolder; b: SyncedFolder }> {
  const { world, a, b } = await twoFolders();
  makeRepository(a);
  await settle(world);
  for (const each of [a, b]) each.disk.tick(3_000_000_000n);
  return { world, a, b };
}

test("a commit made after the walk listed the objects is published with its object", async () => {
  const { world, a } = await committed();
  {
    using _commits = afterListing(
      a,
      ".git/objects",
      once(() => commit(a)),
    );
    await a.sync();
  }
  expect(await bucketTree(world.bucket)).toEqual(a.disk.tree());
  expect(isWhole(await bucketTree(world.bucket))).toBe(true);
});

test.each<[string, (a: SyncedFolder) => void]>([
  ["edits an unchanged file", (a) => write(a, { ".git/refs/main": "2" })],
  ["adds a file", (a) => write(a, { ".git/objects/2": "two" })],
  ["removes a file", (a) => a.disk.remove(path(".git/objects/1"))],
  ["renames a file", (a) => a.disk.move(path(".git/refs/main"), path(".git/refs/other"))],
  ["moves a file out", (a) => a.disk.move(path(".git/objects/1"), path("out"))],
  [
    "replaces a file by a directory",
    (a) => [a.disk.remove(path(".git/objects/1")), a.disk.make(path(".git/objects/1"))],
  ],
])(
  "what a program does to a repository after the walk is in one commit with what it did before: it %s",
  async (_, act) => {
    const { world, a } = await committed();
    write(a, { ".git/HEAD": "other" });
    const before = await bucketTree(world.bucket);
    const states: ReadonlyMap<string, string>[] = [];
    world.remote.beforeSwap = async () => void states.push(await bucketTree(world.bucket));
    {
      using _acts = beforeReading(
        a,
        ".git/HEAD",
        once(() => act(a)),
      );
      await a.sync();
    }
    expect(states).toEqual([before]);
    expect(await bucketTree(world.bucket)).toEqual(a.disk.tree());
  },
);

test.each(["", "d/"])(
  "a database that is written after the walk is published with the log of that moment, in '%s'",
  async (at) => {
    const { world, a } = await twoFolders();
    if (at !== "") a.disk.make(path("d"));
    write(a, { [`${at}app.db`]: "old", [`${at}app.db-wal`]: "old" });
    await settle(world);
    a.disk.tick(3_000_000_000n);
    write(a, { [`${at}app.db-wal`]: "restarted" });
    for (const act of [
      () => write(a, { [`${at}app.db`]: "new" }),
      () => write(a, { [`${at}app.db-journal`]: "new" }),
      () => a.disk.remove(path(`${at}app.db`)),
    ]) {
      write(a, { [`${at}app.db-wal`]: `${String(a.disk.nowNs())} restarted` });
      let swaps = 0;
      world.remote.beforeSwap = async () => void swaps++;
      using _acts = beforeReading(a, `${at}app.db-wal`, once(act));
      await a.sync();
      expect(await bucketTree(world.bucket)).toEqual(a.disk.tree());
      expect(swaps).toBe(1);
    }
  },
);

test("a repository in which files come and go all the time stays as it was in the bucket, and other files go on", async () => {
  const { world, a } = await committed();
  a.disk.remove(path(".git/objects/1"));
  write(a, { ".git/HEAD": "other", "other.txt": "new" });
  {
    using _locks = afterListing(a, ".git", () => {
      write(a, { ".git/index.lock": "" });
      a.disk.remove(path(".git/index.lock"));
    });
    const { unstable, unsent } = await a.sync();
    expect(unstable).toEqual([path(".git/HEAD")]);
    expect(unsent.files).toBe(1);
  }
  expect(files(await bucketTree(world.bucket))).toEqual({ ...REPOSITORY, "other.txt": "new" });
  const now = { ".git/HEAD": "other", ".git/refs/main": "1", "other.txt": "new" };
  expect(files(await settledTree(world))).toEqual(now);
});

test("only a deletion in a repository waits, too, while files in it come and go", async () => {
  const { world, a } = await committed();
  a.disk.remove(path(".git/objects/1"));
  {
    using _locks = afterListing(a, ".git", () => {
      write(a, { ".git/index.lock": "" });
      a.disk.remove(path(".git/index.lock"));
    });
    await a.sync();
  }
  expect(files(await bucketTree(world.bucket))).toEqual(REPOSITORY);
  expect(files(await settledTree(world))).toEqual({ ".git/HEAD": "main", ".git/refs/main": "1" });
});

test.each([1, 2, 3, 4, 5, 6])(
  "a new repository that gets a commit after listing %i of its objects is never in the bucket without the object",
  async (listing) => {
    const { world, a } = await twoFolders();
    a.portion = { things: 3, bytes: 1_000 };
    for (let file = 0; file < 8; file++) write(a, { [`${file}.txt`]: "text" });
    makeRepository(a);
    const states: ReadonlyMap<string, string>[] = [];
    world.remote.beforeSwap = async () => void states.push(await bucketTree(world.bucket));
    {
      let listings = 0;
      using _commits = afterListing(a, ".git/objects", () => {
        if (++listings === listing) commit(a);
      });
      await a.sync();
    }
    states.push(await bucketTree(world.bucket));
    expect(states.map(isWhole)).not.toContain(false);
    expect(states.at(-1)).toEqual(a.disk.tree());
  },
);

test("writes to ignored files of a repository do not hold it back", async () => {
  const { world, a } = await committed();
  write(a, { ".synclineignore": "*.log", ".git/gc.log": "0" });
  await settle(world);
  a.disk.tick(3_000_000_000n);
  write(a, { ".git/HEAD": "other" });
  using _logs = beforeReading(a, ".git/HEAD", () => write(a, { ".git/gc.log": String(a.disk.nowNs()) }));
  expect((await a.sync()).unstable).toEqual([]);
  expect((await bucketTree(world.bucket)).get(".git/HEAD")).toBe("other");
});

test("a log whose name has another case is published with its database where case makes no difference", async () => {
  const { world, a } = await twoFolders();
  a.disk.foldsCase = true;
  write(a, { "app.db": "old", "app.db-WAL": "old" });
  expect((await a.sync()).unstable).toEqual([]);
  expect(await bucketTree(world.bucket)).toEqual(a.disk.tree());
});

test("a pass that changes nothing in a repository does not list it again", async () => {
  const { a } = await committed();
  write(a, { "other.txt": "new" });
  const listed: string[] = [];
  using _lists = afterListing(a, ".git/objects", () => listed.push("objects"));
  await a.sync();
  expect(listed).toHaveLength(1);
});

function makeRepository(folder: SyncedFolder): void {
  for (const directory of [".git", ".git/objects", ".git/refs"]) folder.disk.make(path(directory));
  write(folder, REPOSITORY);
}

function commit(folder: SyncedFolder): void {
  write(folder, { ".git/objects/2": "two", ".git/refs/main": "2" });
}

/** Whether the object that the branch names is there. */
function isWhole(tree: ReadonlyMap<string, string>): boolean {
  const named = tree.get(".git/refs/main");
  return named === undefined || tree.has(`.git/objects/${named}`);
}

function once(act: () => void): () => void {
  let isDone = false;
  return () => {
    if (!isDone) act();
    isDone = true;
  };
}

/** Acts before each read of a file, after the walk. */
function beforeReading({ disk }: SyncedFolder, of: string, act: () => void): Disposable {
  const { read } = disk;
  disk.read = async (at) => {
    const file = await read.call(disk, at);
    if (at.join("/") !== of) return file;
    disk.tick();
    act();
    return file;
  };
  return { [Symbol.dispose]: () => void (disk.read = read) };
}

function write({ disk }: SyncedFolder, some: Readonly<Record<string, string>>): void {
  for (const [at, text] of Object.entries(some)) disk.write(path(at), text);
}

function files(tree: ReadonlyMap<string, string>): Record<string, string> {
  return Object.fromEntries([...tree].filter(([, text]) => text !== "dir"));
}
