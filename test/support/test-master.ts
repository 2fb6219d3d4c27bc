/** A master in this process, on a free loopback port, with its folder and its callers. */
import { systemClock } from "../../src/base/clock.ts";
import type { Wallet } from "../../src/base/ids.ts";
import { type Log, silentLog } from "../../src/base/log.ts";
import { systemRandom } from "../../src/base/random.ts";
import { signToken } from "../../src/crypto/token.ts";
import { walletSigner, type WalletSigner } from "../../src/crypto/wallet.ts";
import { type Master, type MasterOptions, startMaster } from "../../src/master/master.ts";
import { openFolderStorage } from "../../src/master/store/folder-storage.ts";
import { temporaryFolder } from "./temporary-folder.ts";

export interface TestMasterOptions extends MasterOptions {
  /** The folder of its storage; one of its own without it. */
  readonly data: string;
  readonly leaseSeconds: number;
}

export interface TestMaster extends Master {
  readonly data: string;
  /** Sends a request with this signer's token (default: the allowed wallet's; null: no token). */
  call(path: string, init?: RequestInit & { duplex?: "half" }, as?: WalletSigner | null): Promise<Response>;
  /** Its metrics, as text. */
  metrics(): Promise<string>;
}

/** The wallet that test masters allow. */
export const alice = walletSigner(new Uint8Array(32).fill(0x42));
/** Another allowed wallet. */
export const bob = walletSigner(new Uint8Array(32).fill(0x07));
/** A valid wallet that is not allowed. */
export const stranger = walletSigner(new Uint8Array(32).fill(0x33));

export async function startTestMaster(options: Partial<TestMasterOptions> = {}): Promise<TestMaster> {
  const { data = await temporaryFolder(), leaseSeconds, ...rules } = options;
  const allow: Wallet[] = [alice.wallet, bob.wallet];
  const log: Log = silentLog;
  const clock = options.clock ?? systemClock;
  const listen = { host: "127.0.0.1", port: 0, tls: undefined };
  const ports = { clock, random: systemRandom, log: options.log ?? log };
  const master = await startMaster({
    storage: options.storage ?? (await openFolderStorage({ dir: data, leaseSeconds, ...ports })),
    listen,
    metricsListen: { host: "127.0.0.1", port: 0 },
    allow,
    version: "test",
    clock,
    random: systemRandom,
    log,
    ...rules,
  });
  return {
    ...master,
    data,
    metrics: async () => (await fetch(`${master.metricsOrigin}/metrics`)).text(),
    async call(path, init = {}, as = alice) {
      const headers = new Headers(init.headers);
      if (as !== null)
        headers.set("authorization", `Bearer ${await tokenOf(as, Number(clock.nowNs() / 1_000_000_000n))}`);
      return fetch(master.origin + path, { redirect: "error", ...init, headers });
    },
  };
}

/** Signing takes a millisecond, so tokens are reused per wallet and second. */
async function tokenOf(signer: WalletSigner, now: number): Promise<string> {
  const known = tokens.get(signer.wallet);
  if (known?.now === now) return known.text;
  const text = await signToken(signer, now);
  tokens.set(signer.wallet, { now, text });
  return text;
}

const tokens = new Map<Wallet, { readonly now: number; readonly text: string }>();
