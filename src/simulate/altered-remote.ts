/** A bucket that reports each swap that gets no answer, and refuses uploads while it is full. */
import { SynclineError } from "../base/errors.ts";
import type { Random } from "../base/random.ts";
import type { BucketRemote, PreparedSwap, UploadSession } from "../bucket/remote.ts";

export function overheard(remote: BucketRemote, onUnknownSwap: () => void): BucketRemote {
  const heard = async (prepared: PreparedSwap) => {
    const outcome = await prepared.swap();
    if (outcome.kind === "unknown") onUnknownSwap();
    return outcome;
  };
  return preparing(remote, async (session, ...upload) => {
    const prepared = await session.prepare(...upload);
    return { ...prepared, swap: () => heard(prepared) };
  });
}

/** `refuses`: whether there is no room, asked before each upload and once it has arrived. */
export function limited(remote: BucketRemote, refuses: () => boolean): BucketRemote {
  const admit = () => {
    if (refuses()) throw new SynclineError("over_quota", "The simulated bucket has no room.");
  };
  return preparing(remote, async (session, ...upload) => {
    admit();
    const prepared = await session.prepare(...upload);
    admit();
    return prepared;
  });
}

/** The room in a bucket for uploads. */
export class Room {
  isFull = false;

  /** Asked twice for each upload. Small changes may fit even into a full bucket. */
  refuses(random: Random): boolean {
    return this.isFull && random.fraction() < REFUSED_WHEN_FULL;
  }
}

const REFUSED_WHEN_FULL = 0.5;

type Prepare = (
  session: UploadSession,
  ...upload: Parameters<UploadSession["prepare"]>
) => ReturnType<UploadSession["prepare"]>;

function preparing(remote: BucketRemote, prepare: Prepare): BucketRemote {
  return {
    ...remote,
    beginUpload: () => {
      const session = remote.beginUpload();
      return {
        blocks: session.blocks,
        putContent: (block) => session.putContent(block),
        prepare: (...upload) => prepare(session, ...upload),
        ...(session.suspend && { suspend: () => session.suspend?.() ?? Promise.resolve() }),
        [Symbol.asyncDispose]: () => session[Symbol.asyncDispose](),
      };
    },
  };
}
