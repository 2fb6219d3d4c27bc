/** `syncline token`: a bearer for one master, for other HTTP tools. */
import { timeText } from "../../base/clock.ts";
import { SynclineError } from "../../base/errors.ts";
import { DEFAULT_TOKEN_SECONDS, signToken } from "../../crypto/token.ts";
import { isLoopback } from "../../net/origin.ts";
import { command } from "../command.ts";
import { loadWallet } from "../wallet.ts";

export const register = command({
  name: "token",
  summary: "print a bearer token that a master accepts from this wallet",
  options: ["origin", "ttl"],
  required: ["origin"],
  examples: ['curl -H "Authorization: Bearer $(syncline token --origin http://127.0.0.1:3600)" …'],
  exits: [5],
  async run(call) {
    const { options, output, runtime } = call;
    const origin = checkOrigin(options.origin ?? "");
    const now = Number(runtime.clock.nowNs() / NS_PER_SECOND);
    const seconds = options.ttl ?? DEFAULT_TOKEN_SECONDS;
    const signer = await loadWallet(call);
    const token = await signToken(signer, now, seconds);
    const expires = timeText(BigInt(now + seconds) * NS_PER_SECOND);
    output.result({ token, origin, wallet: signer.wallet, expires }, token);
  },
});

const NS_PER_SECOND = 1_000_000_000n;

/** The token names no master, so anyone who sees it can use it: it may leave this machine only over TLS. Throws `usage`. */
function checkOrigin(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !(url.protocol === "https:" || (url.protocol === "http:" && isLoopback(url.hostname)))) {
    throw new SynclineError("usage", `${JSON.stringify(text)} is not the https:// origin of a master.`, {
      hint: "http:// is allowed only on this machine.",
    });
  }
  return url.origin;
}
