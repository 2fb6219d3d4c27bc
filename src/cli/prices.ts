/** What requests to S3 and storage cost in a month, at prices that the configuration may set. */
import { SynclineError } from "../base/errors.ts";
import type { RequestReport } from "../objects/object-store.ts";

/** US dollars: for 1,000 requests of a class, and for a GB of storage in a month. */
export interface Prices {
  readonly put: number;
  readonly list: number;
  readonly get: number;
  readonly delete: number;
  readonly storage: number;
}

/** Prices of S3 Standard in us-east-1, first 50 TB, from memory of 2025 and not checked since: https://aws.amazon.com/s3/pricing/ */
export const DEFAULT_PRICES = "put=0.005 list=0.005 get=0.0004 delete=0 storage=0.023";

export interface Costs {
  /** US dollars a month at the rate so far. Null for the first `LEAST_MS`, which say little about a month. */
  readonly requests: number | null;
  /** US dollars a month. Null while the stored bytes are unknown. */
  readonly storage: number | null;
}

const CLASSES = ["put", "list", "get", "delete"] as const;
const LEAST_MS = 10 * 60 * 1000;
const MONTH_MS = 30 * 24 * 60 * 60 * 1000;

/** Prices that a table leaves out are the default ones. Throws `config_invalid`. */
export function parsePrices(table: string): Prices {
  return { ...pricesIn(DEFAULT_PRICES), ...pricesIn(table) } as Prices;
}

/** `storedBytes`: as the last collection counted them. */
export function monthlyCosts(prices: Prices, requests: RequestReport, storedBytes: number | null): Costs {
  const spent = CLASSES.reduce((sum, each) => sum + (requests[each] / 1_000) * prices[each], 0);
  return {
    requests: requests.forMs < LEAST_MS ? null : (spent * MONTH_MS) / requests.forMs,
    storage: storedBytes === null ? null : (storedBytes / 1e9) * prices.storage,
  };
}

export function costsText({ requests, storage }: Costs): string {
  const known = [
    ...(requests === null ? [] : [`$${requests.toFixed(2)} for requests`]),
    ...(storage === null ? [] : [`$${storage.toFixed(2)} for storage`]),
  ];
  const unknown = [
    ...(requests === null ? ["requests are estimated after ten minutes"] : []),
    ...(storage === null ? [`storage ${requests === null ? "" : "is estimated "}after a collection`] : []),
  ];
  const about = known.length === 0 ? [] : [`about ${known.join(", ")} a month, without traffic`];
  return [...about, ...(unknown.length === 0 ? [] : [unknown.join(", ")])].join("; ");
}

function pricesIn(table: string): Partial<Prices> {
  const pairs = table.split(/[\s,]+/).filter((pair) => pair !== "");
  return Object.fromEntries(pairs.map(priceIn));
}

function priceIn(pair: string): [string, number] {
  const [, name = "", price = ""] = /^(put|list|get|delete|storage)=(\d+(?:\.\d+)?)$/.exec(pair) ?? [];
  if (name !== "") return [name, Number(price)];
  throw new SynclineError("config_invalid", `${JSON.stringify(pair)} in s3-prices is not a price.`, {
    hint: `Write it as ${DEFAULT_PRICES}.`,
  });
}
