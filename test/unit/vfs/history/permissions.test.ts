/** Who may read what is beneath a `.history`: an old version never grants more than it did. */
import { expect, test } from "vitest";
import { ACCESS_ACL } from "../../../../src/vfs/acl.ts";
import { acl, aclText } from "../../../support/acl-text.ts";
import { HistoryHarness } from "../../../support/history-harness.ts";

async function listOf(fs: HistoryHarness, path: string): Promise<string | undefined> {
  const ino = await fs.ino(path);
  const value = await fs.run((vfs) => vfs.getXattr(ino, ACCESS_ACL));
  return value && aclText(value);
}

test("an old version's access control list grants no more than its mode", async () => {
  const fs = await HistoryHarness.create();
  const time = await fs.publish(async (writer) => {
    const ino = await writer.make("f", "text");
    await writer.run((vfs) => vfs.setXattr(ino, ACCESS_ACL, acl("u::rw- u:7:rw- g::r-- m::rw- o::r--"), 0));
    await writer.run((vfs) => vfs.setAttributes(ino, { mode: 0o600 }));
  });
  expect(await listOf(fs, "f")).toBe("u::rw- u:7:rw- g::r-- m::--- o::---");
  expect(await listOf(fs, `.history/${time}/f`)).toBe("u::rw- u:7:rw- g::r-- m::--- o::---");
});
