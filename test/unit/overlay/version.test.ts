import { expect, test } from "vitest";
import { SynclineError } from "../../../src/base/errors.ts";
import { decodeHead } from "../../../src/overlay/journal/checkpoint.ts";

test("state of another version is refused, with a way out", () => {
  const head = new Uint8Array(64);
  new DataView(head.buffer).setUint32(0, 2, true);
  const refused = thrownBy(() => decodeHead(head));
  expect(refused?.code).toBe("state_corrupt");
  expect(refused?.message).toMatch(/another version of Syncline \(2\)/);
  expect(refused?.hint).toMatch(/unmount it with that version/);
});

function thrownBy(work: () => unknown): SynclineError | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    return error instanceof SynclineError ? error : undefined;
  }
}
