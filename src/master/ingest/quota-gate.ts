/** Asks a quota API whether a caller may upload, with the caller's own bearer: one request per bearer at a time. */
import { request } from "undici";
import { BoundedMap } from "../../base/bounded-map.ts";
import { KNOWN_BEARERS, QUOTA_CACHE_MS, QUOTA_PATIENCE_MS, QUOTA_RETRY_MS } from "../limits.ts";
import { describeError } from "../../base/log.ts";
import type { Ports } from "../../base/ports.ts";
import { orElse } from "../../base/unless.ts";
import { Refusal } from "../http/refusal.ts";

export interface QuotaGateOptions extends Pick<Ports, "clock" | "log"> {
  /** The storage API's base address; /api/v1/storage is appended. */
  readonly api: string;
  /** Whether uploads are allowed while the API does not answer. */
  readonly open: boolean;
}

export class QuotaGate {
  readonly #options: QuotaGateOptions;
  readonly #answers = new BoundedMap<string, Asked>(KNOWN_BEARERS);

  constructor(options: QuotaGateOptions) {
    this.#options = options;
  }

  /** Throws `over_quota`, `quota_unreachable`. */
  async check(bearer: string): Promise<void> {
    const verdict = await this.#ask(bearer);
    if (verdict === "no") throw new Refusal("over_quota", "The storage API says that this caller may not upload.");
    if (verdict === "yes" || this.#options.open) return;
    throw new Refusal(
      "quota_unreachable",
      "The storage API did not say whether this caller may upload. Try again later.",
    );
  }

  #ask(bearer: string): Promise<Verdict> {
    const nowMs = this.#options.clock.monotonicMs();
    const before = this.#answers.get(bearer);
    if (before !== undefined && nowMs < before.untilMs) return before.verdict;
    const asked: Asked = { verdict: this.#request(bearer), untilMs: Infinity };
    const dated = async () => {
      const keptMs = (await asked.verdict) === "unknown" ? QUOTA_RETRY_MS : QUOTA_CACHE_MS;
      asked.untilMs = this.#options.clock.monotonicMs() + keptMs;
    };
    this.#answers.set(bearer, asked);
    void dated();
    return asked.verdict;
  }

  async #request(bearer: string): Promise<Verdict> {
    const { api, clock, log } = this.#options;
    const tooLate = new AbortController();
    using _timer = clock.after(2 * QUOTA_PATIENCE_MS, () => tooLate.abort(new Error("it took too long")));
    try {
      const { statusCode, body } = await request(new URL("api/v1/storage", api.endsWith("/") ? api : `${api}/`), {
        headers: { authorization: `Bearer ${bearer}`, accept: "application/json" },
        headersTimeout: QUOTA_PATIENCE_MS,
        bodyTimeout: QUOTA_PATIENCE_MS,
        signal: tooLate.signal,
      });
      if (statusCode === 401 || statusCode === 403) {
        await body.dump();
        return "no";
      }
      let text = "";
      for await (const piece of body.setEncoding("utf8")) {
        text += String(piece);
        if (text.length > MAX_ANSWER_CHARS) break;
      }
      return statusCode === 200 ? verdictIn(text) : "unknown";
    } catch (error) {
      log.warn(`The storage API did not answer: ${describeError(error)}`);
      return "unknown";
    }
  }
}

type Verdict = "yes" | "no" | "unknown";

interface Asked {
  readonly verdict: Promise<Verdict>;
  untilMs: number;
}

const MAX_ANSWER_CHARS = 65_536;

function verdictIn(text: string): Verdict {
  return orElse("unknown", () => {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null || !("canUpload" in value)) return "unknown";
    return value.canUpload === true ? "yes" : value.canUpload === false ? "no" : "unknown";
  });
}
