/** MOVE: one rename, however large the folder. */
import { answer, type Call } from "../call.ts";
import { makeDurable } from "../durable.ts";
import { checkedEnds, transferOf } from "./destination.ts";
import { checkWritable } from "../locks/change-check.ts";
import { isFile, isFolder } from "../../files/resolved-path.ts";
import { writable } from "./path-checks.ts";
import { Refusal } from "../refusal.ts";
import { Takeover } from "../../files/takeover.ts";

export async function move(call: Call): Promise<void> {
  checkWritable(call);
  const transfer = transferOf(call);
  const { depth = "infinity" } = call.request.headers;
  const isDeep = /^infinity$/i.test(String(depth));
  const takeover = new Takeover(call);
  const { source, target } = await takeover.change((fs) => {
    const ends = checkedEnds(call, fs, transfer, true);
    if (!isDeep && isFolder(ends.source.attributes))
      throw new Refusal(400, "The Depth of a folder's MOVE must be infinity.");
    takeover.run(fs, writable(ends.source), ends.source.attributes, ends.target);
    if (isFile(ends.source.attributes)) call.lockedVersions.follow(ends.target.path, ends.source.attributes.ino);
    return ends;
  });
  call.unfinished.moved(source.path, target.path);
  try {
    // At once, before others take locks here, which must stay.
    call.locks.removed(source.path);
    call.locks.removed(target.path, true);
  } finally {
    await takeover.clear();
  }
  await makeDurable(call, source.attributes.ino);
  answer(call, takeover.replaced ? 204 : 201);
}
