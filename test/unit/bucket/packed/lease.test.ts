import { expect, test } from "vitest";
import { systemClock } from "../../../../src/base/clock.ts";
import type { WriterId } from "../../../../src/base/ids.ts";
import { Lease } from "../../../../src/bucket/packed/lease.ts";
import { leaseName } from "../../../../src/format/blocks/object-name.ts";
import { MemoryObjectStore } from "../../../../src/objects/memory-object-store.ts";
import { seededStream } from "../../../support/test-bucket.ts";

const HOUR_MS = 3_600_000;

test("a lease is written again after the machine slept, though its monotonic clock stood still", async () => {
  let wallMs = 1_800_000_000_000;
  const clock = { ...systemClock, nowNs: () => BigInt(wallMs) * 1_000_000n, monotonicMs: () => 0 };
  const store = new MemoryObjectStore("memory:", () => wallMs);
  const writer = "ab".repeat(16) as WriterId;
  const lease = new Lease(store, writer, clock, seededStream(1));
  await lease.draw(() => {});
  wallMs += 23.5 * HOUR_MS;
  await lease.draw(() => {});
  expect((await store.head(leaseName(writer)))?.modifiedMs).toBe(wallMs);
  wallMs += 2 * HOUR_MS;
  await lease.refresh(() => {});
  expect((await store.head(leaseName(writer)))?.modifiedMs).toBe(wallMs);
});
