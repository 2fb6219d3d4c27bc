/** Restoring and removing in a bucket whose tree is damaged. */
import { expect, test } from "vitest";
import type { FileName } from "../../../../src/base/ids.ts";
import type { Draft, DraftTree } from "../../../../src/bucket/writer/draft-tree.ts";
import { Restorer, type RestoreSource } from "../../../../src/bucket/writer/restore.ts";

test("removing a directory that contains itself fails", async () => {
  const name = "again" as FileName;
  const directory = { record: { type: "directory" } } as unknown as Draft;
  const tree = {
    async *names() {
      yield name;
    },
    child: async () => directory,
    unlink: () => {},
  } as unknown as DraftTree;
  const restorer = new Restorer(tree, {} as RestoreSource, 0n);
  await expect(restorer.remove(directory, directory, name)).rejects.toMatchObject({ code: "format_invalid" });
});
