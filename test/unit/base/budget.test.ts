import { describe, expect, test } from "vitest";
import { Budget } from "../../../src/base/budget.ts";
import { FairBudget } from "../../../src/http/fair-budget.ts";

/** Whether a promise is settled, after all that is due ran. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  const settle = () => void (settled = true);
  promise.then(settle, settle);
  for (let turn = 0; turn < 10; turn++) await Promise.resolve();
  return settled;
}

const never = new AbortController().signal;

describe("a budget", () => {
  test("is granted in order: a small request does not overtake a large one", async () => {
    const budget = new Budget(10);
    expect(budget.tryTake(8)).toBe(true);
    const large = budget.take(5);
    const small = budget.take(1);
    expect(budget.tryTake(1)).toBe(false);
    expect(await isSettled(small)).toBe(false);
    budget.give(8);
    await Promise.all([large, small]);
    expect(budget.used).toBe(6);
  });

  test("holds nothing for a request that gives up, and grants those behind it", async () => {
    const budget = new Budget(10);
    budget.tryTake(8);
    const patience = new AbortController();
    const large = budget.take(5, patience.signal);
    const small = budget.take(2);
    patience.abort();
    await expect(large).rejects.toMatchObject({ name: "AbortError" });
    await small;
    expect(budget.used).toBe(10);
    expect(budget.waiting).toBe(0);
  });

  test("grants its whole amount to a request for more than that", async () => {
    const budget = new Budget(10);
    await budget.take(1000);
    expect(budget.used).toBe(10);
    budget.give(1000);
    expect(budget.used).toBe(0);
  });
});

describe("a fair budget", () => {
  test("leaves other owners their share when one is greedy", async () => {
    const shares = new FairBudget(100, 60);
    await shares.take("greedy", 60, never);
    const more = shares.take("greedy", 1, never);
    await shares.take("modest", 40, never);
    expect(await isSettled(more)).toBe(false);
    shares.give("greedy", 60);
    await more;
    expect(shares.used).toBe(41);
  });

  test("forgets an owner that holds nothing and waits for nothing", async () => {
    const shares = new FairBudget(100, 60);
    const patience = new AbortController();
    await shares.take("a", 60, never);
    const waiting = shares.take("b", 50, patience.signal);
    expect(shares.owners).toBe(2);
    patience.abort();
    await expect(waiting).rejects.toMatchObject({ name: "AbortError" });
    shares.give("a", 60);
    expect(shares.owners).toBe(0);
    expect(shares.used).toBe(0);
  });

  test("grants those behind an owner that gives up, and is whole again in the end", async () => {
    const shares = new FairBudget(100, 100);
    await shares.take("a", 80, never);
    const patience = new AbortController();
    const waiting = shares.take("b", 50, patience.signal);
    const behind = shares.take("c", 20, never);
    expect(await isSettled(behind)).toBe(false);
    patience.abort();
    await expect(waiting).rejects.toMatchObject({ name: "AbortError" });
    await behind;
    shares.give("a", 80);
    shares.give("c", 20);
    expect(shares.used).toBe(0);
  });
});
