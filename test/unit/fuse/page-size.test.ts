/** The addon on systems with larger pages than 4 KiB. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { describe, expect, test } from "vitest";
import type { FuseAddon } from "../../../src/fuse/addon.ts";
import { whyNoAddon } from "../../support/fuse-process.ts";

const LARGEST_PAGE_BYTES = 64 << 10;
const SETTINGS = { attributeTimeoutS: 1, entryTimeoutS: 1, negativeTimeoutS: 1, blockSize: 4096, spinUs: 0 } as const;

describe.skipIf(whyNoAddon() !== undefined)("the addon", () => {
  const addon = createRequire(import.meta.url)("#fuse-addon") as FuseAddon;

  test("tells the system's page size", () => {
    const [, kilobytes] = /KernelPageSize: +(\d+) kB/.exec(readFileSync("/proc/self/smaps", "utf8")) ?? [];
    expect(addon.pageBytes).toBe(Number(kilobytes) * 1024);
  });

  test("maps the memory for requests where pages of any size begin", () => {
    const handlers = { onBatch() {}, onForgotten() {}, onEnd() {} };
    const session = addon.serve(addon.openDevice(), addon.createMountMemory(), SETTINGS, handlers);
    const mappings = readFileSync("/proc/self/maps", "utf8").matchAll(/^\S+ \S+ (\S+) .*syncline-mount/gm);
    const offsets = [...mappings].map(([, offset = ""]) => Number.parseInt(offset, 16));
    expect(offsets.length).toBeGreaterThan(0);
    expect(offsets.filter((offset) => offset % LARGEST_PAGE_BYTES !== 0)).toEqual([]);
    session.close();
  });
});
