import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { beforeEach, describe, expect, test } from "vitest";
import { openCommandWriter, requirePublished, type CommandWriter } from "../../../src/agent/command-writer.ts";
import { openCommandState } from "../../../src/agent/state/state-dir.ts";
import { systemClock } from "../../../src/base/clock.ts";
import { SynclineError } from "../../../src/base/errors.ts";
import type { Cid } from "../../../src/base/ids.ts";
import { silentLog } from "../../../src/base/log.ts";
import { systemRandom } from "../../../src/base/random.ts";
import { Bucket } from "../../../src/bucket/bucket.ts";
import { openRemote } from "../../../src/bucket/open-remote.ts";
import type { PublishOutcome } from "../../../src/bucket/publish/outcome.ts";
import { sourceOfBytes } from "../../../src/bucket/writer/file-source.ts";
import { createDeviceKey } from "../../../src/crypto/device-key.ts";
import { name } from "../../support/epochs.ts";
import { NOT_AFTER, OWNER, pathsOf } from "../../support/test-bucket.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";

const ports = { clock: systemClock, random: systemRandom };
let stateRoot: string;
let address: string;

beforeEach(async () => {
  const folder = await temporaryFolder();
  stateRoot = join(folder, "states");
  address = pathToFileURL(join(folder, "bucket")).href;
  await using remote = await openRemote(address, ports);
  const root = { mode: 0o755, uid: 0, gid: 0 };
  await Bucket.create(remote, {
    owner: OWNER,
    device: createDeviceKey(systemRandom),
    notAfter: NOT_AFTER,
    ...ports,
    ...root,
  });
});

function open(): Promise<CommandWriter> {
  return openCommandWriter({ address, stateRoot, wallet: async () => OWNER, ...ports, log: silentLog });
}

async function put({ writer }: CommandWriter, file: string): Promise<PublishOutcome> {
  await writer.putFile([name(file)], sourceOfBytes(Buffer.from(file)), { mode: 0o644, uid: 0, gid: 0 });
  return writer.publish();
}

async function head({ bucket }: CommandWriter) {
  const current = await bucket.current();
  if (current === undefined) throw new Error("the bucket has no root");
  return current.commit;
}

function slots(): string[] {
  return readdirSync(stateRoot).flatMap((hash) =>
    readdirSync(join(stateRoot, hash))
      .filter((entry) => entry.startsWith("cli-"))
      .map((slot) => join(stateRoot, hash, slot)),
  );
}

describe("a command that writes", () => {
  test("publishes with its slot's device, in a new epoch each time", async () => {
    for (const file of ["a", "b"]) {
      await using session = await open();
      expect(requirePublished(await put(session, file)).kind).toBe("published");
    }
    await using session = await open();
    const { body } = await head(session);
    expect(await session.bucket.heads.all(body)).toEqual(new Map([[body.writer, 2]]));
    expect(await pathsOf(session.bucket, body.tree)).toEqual({ a: "a", b: "b" });
    expect(slots()).toHaveLength(1);
  });

  test("uses up an epoch number even if it publishes nothing, since the epoch may have been seen", async () => {
    await (await open())[Symbol.asyncDispose]();
    await (await open())[Symbol.asyncDispose]();
    await using session = await open();
    await put(session, "a");
    const { body } = await head(session);
    expect(await session.bucket.heads.epochOf(body, body.writer)).toBe(3);
  });

  test("uses an epoch above all that the bucket has seen of its device, even if its own count is lost or older", async () => {
    for (const text of [undefined, "", "0", "not a number"]) {
      const [slot = ""] = text === undefined ? [] : slots();
      if (text !== undefined) writeFileSync(join(slot, "epoch"), text);
      await using session = await open();
      expect((await put(session, `f${text}`)).kind).toBe("published");
    }
    const [slot = ""] = slots();
    expect(readFileSync(join(slot, "epoch"), "utf8")).toBe("4");
  });

  test("frees its slot when it ends, and when it fails to start", async () => {
    const [first, second] = [await open(), await open()];
    expect(slots()).toHaveLength(2);
    await first[Symbol.asyncDispose]();
    await second[Symbol.asyncDispose]();
    const wallet = () => Promise.reject(new SynclineError("key_locked", "Nobody types."));
    const fails = openCommandWriter({ address, stateRoot: `${stateRoot}-new`, wallet, ...ports, log: silentLog });
    await expect(fails).rejects.toMatchObject({ code: "key_locked" });
    using free = openCommandState(`${stateRoot}-new`, address);
    expect(free.path).toMatch(/cli-0$/);
  });

  test("reports a missing bucket", async () => {
    address = `${address}-not`;
    await expect(open()).rejects.toMatchObject({ code: "no_such_bucket" });
  });
});

describe("the outcome of publishing", () => {
  const figures = { attempts: 0, requests: 0, uploadedBytes: 0, uploadedBlocks: 0, blocksRead: 0 };
  const cause = new SynclineError("store_unreachable", "The store does not answer.");

  test.each<[string, PublishOutcome]>([
    ["store_unreachable", { kind: "unreachable", cause, figures }],
    ["foreign_bucket", { kind: "foreign", cause: new SynclineError("foreign_bucket", "Another."), figures }],
    ["root_moved", { kind: "queued", isUnsure: false, figures }],
    ["store_unreachable", { kind: "queued", isUnsure: true, figures }],
    ["root_rolled_back", { kind: "rolled_back", root: "bafyr4i" as Cid, figures }],
    ["state_corrupt", { kind: "device_reused", epoch: 7, figures }],
  ])("is an error for a command unless the epoch is in the bucket: %s", (code, outcome) => {
    expect(() => requirePublished(outcome)).toThrow(expect.objectContaining({ code }));
  });
});
