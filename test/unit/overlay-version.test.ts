import { expect, test } from "vitest";
import { hasCode } from "../../src/base/errors.ts";
import { decodeHead } from "../../src/overlay/checkpoint.ts";

test("a state of another version is refused with the way out, not read", () => {
  const head = new Uint8Array(64);
  new DataView(head.buffer).setUint32(0, 2, true);
  try {
    decodeHead(head);
    expect.unreachable();
  } catch (error) {
    expect(hasCode(error, "state_corrupt") && error.hint).toMatch(/unmount it with that version/);
    expect(String(error)).toMatch(/another version of Syncline \(2\)/);
  }
});
