/** A bucket that reports each swap that gets no answer. */
import type { BucketRemote, PreparedSwap } from "../bucket/remote.ts";

export function overheard(remote: BucketRemote, onUnknownSwap: () => void): BucketRemote {
  const heard = async (prepared: PreparedSwap) => {
    const outcome = await prepared.swap();
    if (outcome.kind === "unknown") onUnknownSwap();
    return outcome;
  };
  return {
    ...remote,
    beginUpload: () => {
      const session = remote.beginUpload();
      return {
        blocks: session.blocks,
        putContent: (block) => session.putContent(block),
        prepare: async (expected, upload) => {
          const prepared = await session.prepare(expected, upload);
          return { ...prepared, swap: () => heard(prepared) };
        },
        ...(session.suspend && { suspend: () => session.suspend?.() ?? Promise.resolve() }),
        [Symbol.asyncDispose]: () => session[Symbol.asyncDispose](),
      };
    },
  };
}
