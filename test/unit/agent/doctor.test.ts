/** What `doctor` finds. */
import { expect, test } from "vitest";
import { handOver } from "../../../src/agent/doctor.ts";

test.each([
  ["6.18.44-fc-v782", "the kernel"],
  ["6.9.0", "the kernel"],
  ["7.0.1", "the kernel"],
  ["6.8.0-45-generic", "in memory"],
  ["5.10.0-30-amd64", "in memory"],
])("on Linux %s, another agent gets the requests from: %s", (version, where) => {
  expect(handOver(version)).toMatchObject({ state: "good", detail: expect.stringContaining(where) as string });
});
