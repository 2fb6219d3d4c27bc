/** What every ObjectStore must do. A store's own test file calls this with how to open a fresh one. */
import { describe, expect, test } from "vitest";
import { lengthOf, type ObjectStore, streamRanges } from "../../src/objects/object-store.ts";

const RACERS = 8;

export function objectStoreContract(open: () => Promise<ObjectStore>): void {
  const opened = async () => {
    const store = await open();
    await store.initialize();
    return store;
  };

  describe("reading", () => {
    test("an object that was never put is absent", async () => {
      const store = await opened();
      expect(await store.get("root")).toBeUndefined();
      expect(await store.head("pack/0")).toBeUndefined();
      await expect(store.getRanges("pack/0", [{ offset: 0, length: 1 }])).rejects.toMatchObject({
        code: "object_not_found",
      });
      await expect(store.getTail("pack/0", 1)).rejects.toMatchObject({ code: "object_not_found" });
    });

    test("ranges come back exactly, in the requested order, even if they overlap", async () => {
      const store = await opened();
      const body = [bytes("abcdef"), bytes("ghij")];
      await store.putNew("pack/0", body);
      expect((await store.head("pack/0"))?.size).toBe(lengthOf(body));
      const ranges = [
        { offset: 8, length: 2 },
        { offset: 0, length: 3 },
        { offset: 4, length: 5 },
        { offset: 3, length: 0 },
      ];
      const read = await store.getRanges("pack/0", ranges);
      expect(read.map(text)).toEqual(["ij", "abc", "efghi", ""]);
      const streamed = ranges.map(({ length }) => new Uint8Array(length));
      await streamRanges(store, "pack/0", ranges, (range, at, part) => streamed[range]?.set(part, at));
      expect(streamed.map(text)).toEqual(["ij", "abc", "efghi", ""]);
    });

    test("a range past the end is an error that names the object", async () => {
      const store = await opened();
      await store.putNew("pack/0", [bytes("abc")]);
      const ranges = [{ offset: 1, length: 3 }];
      const error = { code: "block_corrupt", message: expect.stringContaining("pack/0") };
      await expect(store.getRanges("pack/0", ranges)).rejects.toMatchObject(error);
      await expect(streamRanges(store, "pack/0", ranges, () => {})).rejects.toMatchObject(error);
    });

    test("the tail is the object's end, or the whole of a shorter object", async () => {
      const store = await opened();
      await store.putNew("pack/0", [bytes("abcdef")]);
      expect(await store.getTail("pack/0", 2)).toMatchObject({
        size: 6,
        bytes: expect.objectContaining({ length: 2 }),
      });
      expect(text((await store.getTail("pack/0", 2)).bytes)).toBe("ef");
      expect(text((await store.getTail("pack/0", 100)).bytes)).toBe("abcdef");
    });

    test.each([
      ["root", 257],
      ["bases/0", 1_025],
      ["genesis", 4_097],
      ["lease/0", 4_194_305],
    ])("%s of %i bytes is refused: it would only take memory", async (name, size) => {
      const store = await opened();
      await store.putNew(name, [new Uint8Array(size)]);
      const tooLarge = { code: "format_invalid", message: expect.stringContaining(name) };
      await expect(store.get(name)).rejects.toMatchObject(tooLarge);
      expect((await store.putIfMatch(name, [bytes("new")], "another")).kind).toBe("refused");
      await store.delete(name);
      await store.putNew(name, [new Uint8Array(size - 1)]);
      expect((await store.get(name))?.bytes.length).toBe(size - 1);
    });

    test("changing returned bytes changes nothing in the store", async () => {
      const store = await opened();
      await store.putNew("genesis", [bytes("abc")]);
      (await store.get("genesis"))?.bytes.fill(0);
      expect(text((await store.get("genesis"))?.bytes)).toBe("abc");
    });
  });

  describe("creating", () => {
    test("an object is created once and keeps its first content", async () => {
      const store = await opened();
      expect((await store.putNew("genesis", [bytes("first")])).kind).toBe("stored");
      expect((await store.putNew("genesis", [bytes("second")])).kind).toBe("refused");
      expect(text((await store.get("genesis"))?.bytes)).toBe("first");
    });

    test(`of ${RACERS} concurrent creators of one object exactly one succeeds, with its own content`, async () => {
      const store = await opened();
      const outcomes = await Promise.all(
        Array.from({ length: RACERS }, (_, racer) => store.putNew("root", [bytes(`racer ${racer}`)])),
      );
      const winners = outcomes.flatMap(({ kind }, racer) => (kind === "stored" ? [racer] : []));
      expect(winners).toHaveLength(1);
      expect(text((await store.get("root"))?.bytes)).toBe(`racer ${winners[0]}`);
    });

    test("an empty object and one streamed in many chunks are stored whole", async () => {
      const store = await opened();
      await store.putNew("pack/empty", []);
      expect((await store.head("pack/empty"))?.size).toBe(0);
      const chunk = new Uint8Array(100_000).fill(7);
      const stream = async function* () {
        for (let index = 0; index < 30; index++) yield chunk;
      };
      await store.putNew("pack/large", stream(), { durable: "later" });
      await store.settle();
      expect((await store.head("pack/large"))?.size).toBe(3_000_000);
    });

    test("a body that fails halfway leaves no object", async () => {
      const store = await opened();
      const failing = async function* () {
        yield bytes("half");
        throw new RangeError("the other half is missing");
      };
      await expect(store.putNew("pack/0", failing())).rejects.toBeInstanceOf(Error);
      expect(await store.head("pack/0")).toBeUndefined();
    });

    test("a put that is aborted halfway changes nothing", async () => {
      const store = await opened();
      const { token = "" } = (await store.putNew("root", [bytes("old")])) as { token?: string };
      const [enough, end] = [new Error("enough"), new AbortController()];
      const aborting = async function* () {
        yield bytes("half");
        end.abort(enough);
        yield bytes("the other half");
      };
      await expect(store.putNew("pack/0", aborting(), { signal: end.signal })).rejects.toBe(enough);
      await expect(store.putIfMatch("root", [bytes("new")], token, { signal: end.signal })).rejects.toBe(enough);
      expect(await store.head("pack/0")).toBeUndefined();
      expect(text((await store.get("root"))?.bytes)).toBe("old");
    });
  });

  describe("replacing", () => {
    test("a token from a read allows one replacement", async () => {
      const store = await opened();
      await store.putNew("root", [bytes("a")]);
      const token = (await store.get("root"))?.token ?? "";
      expect((await store.putIfMatch("root", [bytes("b")], token)).kind).toBe("stored");
      expect((await store.putIfMatch("root", [bytes("c")], token)).kind).toBe("refused");
      expect(text((await store.get("root"))?.bytes)).toBe("b");
    });

    test("a token returned by a put allows replacing what it stored", async () => {
      const store = await opened();
      const first = await store.putNew("root", [bytes("a")]);
      const token = first.kind === "stored" ? (first.token ?? (await store.get("root"))?.token) : undefined;
      expect((await store.putIfMatch("root", [bytes("b")], token ?? "")).kind).toBe("stored");
    });

    test("a deleted object cannot be replaced", async () => {
      const store = await opened();
      await store.putNew("root", [bytes("a")]);
      const token = (await store.get("root"))?.token ?? "";
      await store.delete("root");
      expect((await store.putIfMatch("root", [bytes("b")], token)).kind).toBe("refused");
      expect(await store.get("root")).toBeUndefined();
    });

    test(`of ${RACERS} concurrent replacements of one object exactly one succeeds`, async () => {
      const store = await opened();
      await store.putNew("root", [bytes("start")]);
      const token = (await store.get("root"))?.token ?? "";
      const outcomes = await Promise.all(
        Array.from({ length: RACERS }, (_, racer) => store.putIfMatch("root", [bytes(`racer ${racer}`)], token)),
      );
      expect(outcomes.filter(({ kind }) => kind === "stored")).toHaveLength(1);
    });
  });

  test("a listing names exactly the objects under a prefix, with their sizes", async () => {
    const store = await opened();
    for (const name of ["genesis", "root", "pack/aa", "pack/ab", "commit/1e20"])
      await store.putNew(name, [bytes(name)]);
    expect(await listed(store, "pack/")).toEqual(["pack/aa 7", "pack/ab 7"]);
    expect(await listed(store, "")).toEqual(["commit/1e20 11", "genesis 7", "pack/aa 7", "pack/ab 7", "root 4"]);
  });

  test("the store's clock agrees with the dates of its objects", async () => {
    const store = await opened();
    const before = await store.now();
    if (before === undefined) return;
    await store.putNew("pack/0", [bytes("x")]);
    const modifiedMs = (await store.head("pack/0"))?.modifiedMs ?? Number.NaN;
    expect(modifiedMs).toBeGreaterThanOrEqual(before);
    expect(await store.now()).toBeGreaterThanOrEqual(modifiedMs);
    expect(await listed(store, "")).toEqual(["pack/0 1"]);
  });

  test("deleting an object twice is harmless", async () => {
    const store = await opened();
    await store.putNew("lease/0", [bytes("x")]);
    await store.delete("lease/0");
    await store.delete("lease/0");
    expect(await store.head("lease/0")).toBeUndefined();
  });
}

async function listed(store: ObjectStore, prefix: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, size } of store.list(prefix)) found.push(`${name} ${size}`);
  return found.sort();
}

function bytes(content: string): Uint8Array {
  return Buffer.from(content);
}

function text(content: Uint8Array | undefined): string {
  return Buffer.from(content ?? new Uint8Array()).toString();
}
