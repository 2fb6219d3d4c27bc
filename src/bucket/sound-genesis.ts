/** The genesis, decoded and checked, from any intact copy that a bucket's storage has. */
import { unless } from "../base/unless.ts";
import { decodeGenesis, type Genesis } from "../format/commits/genesis.ts";
import type { BucketRemote } from "./remote.ts";
import { isWrongCommit } from "./verified-commit.ts";

/**
 * The genesis that `readGenesis` returns; if that one is wrong, the one that the root's commit links. Throws as `decode` does
 * of the first where the second is out of reach, and as reading does. In a bucket of a newer version both are
 * `feature_unknown`.
 */
export async function soundGenesis(
  remote: Pick<BucketRemote, "readGenesis" | "linkedGenesis">,
  decode: (bytes: Uint8Array) => Genesis = decodeGenesis,
): Promise<Genesis> {
  const bytes = await remote.readGenesis();
  try {
    return decode(bytes);
  } catch (error) {
    // Undefined, too, where it cannot be told from damaged data.
    const find = () => unless(isWrongCommit, async () => remote.linkedGenesis?.());
    const linked = isWrongCommit(error) ? await find() : undefined;
    if (linked === undefined) throw error;
    return decode(linked);
  }
}
