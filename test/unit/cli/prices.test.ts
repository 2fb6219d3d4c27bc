/** What S3 costs in a month, from requests so far and a table of prices. */
import { describe, expect, test } from "vitest";
import { costsText, DEFAULT_PRICES, monthlyCosts, parsePrices } from "../../../src/cli/prices.ts";

const HOUR_MS = 3_600_000;
const requests = { put: 10, list: 1, get: 360, delete: 5, refused: 2, forMs: HOUR_MS };

describe("costs in a month", () => {
  test("are those of each class at the rate so far, and of what is stored", () => {
    const costs = monthlyCosts(parsePrices(DEFAULT_PRICES), requests, 50e9);
    // 720 hours of 10 PUT and 1 LIST at $0.005, and 360 GET at $0.0004, for 1,000.
    expect(costs.requests).toBeCloseTo(720 * (0.011 * 0.005 + 0.36 * 0.0004), 6);
    expect(costs.storage).toBeCloseTo(1.15, 6);
    expect(costsText(costs)).toBe("about $0.14 for requests, $1.15 for storage a month, without traffic");
  });

  test("are unknown in the first ten minutes, and before anything counted what is stored", () => {
    const costs = monthlyCosts(parsePrices(DEFAULT_PRICES), { ...requests, forMs: 599_999 }, null);
    expect(costs).toEqual({ requests: null, storage: null });
    expect(costsText(costs)).toBe("requests are estimated after ten minutes, storage after a collection");
    expect(costsText({ requests: 1, storage: null })).toBe(
      "about $1.00 for requests a month, without traffic; storage is estimated after a collection",
    );
  });
});

describe("a table of prices", () => {
  test("changes the prices that it names", () => {
    const changed = { put: 0.0045, list: 0.005, get: 0.00036, delete: 0, storage: 0.015 };
    expect(parsePrices("put=0.0045, get=0.00036 storage=0.015")).toEqual(changed);
  });

  test.each(["put", "put=", "put=-1", "put=cheap", "copy=1", "put=1e3"])("%s is refused by name", (table) => {
    expect(() => parsePrices(table)).toThrow(expect.objectContaining({ code: "config_invalid" }));
  });
});
