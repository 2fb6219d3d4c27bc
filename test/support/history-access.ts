/** How the owner of every SignedHistory signs in to masters. */
import { systemClock } from "../../src/base/clock.ts";
import { systemRandom } from "../../src/base/random.ts";
import { openRemote } from "../../src/bucket/open-remote.ts";
import type { BucketRemote } from "../../src/bucket/remote.ts";
import { walletSigner } from "../../src/crypto/wallet.ts";
import { masterAccess, type MasterAccess } from "../../src/net/access.ts";
import { MasterConnection } from "../../src/net/master-connection.ts";
import { HISTORY_KEY } from "./signed-history.ts";

export function historyAccess(): MasterAccess {
  return masterAccess({ wallet: async () => walletSigner(HISTORY_KEY), clock: systemClock });
}

export function connectTo(origin: string): MasterConnection {
  return new MasterConnection(origin, { bearer: historyAccess().bearer(origin), clock: systemClock });
}

export function openHistoryBucket(address: string): Promise<BucketRemote> {
  return openRemote(address, { clock: systemClock, random: systemRandom, access: historyAccess() });
}
