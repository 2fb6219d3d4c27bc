/** What `doctor` finds. */
import { expect, test } from "vitest";
import { handOver } from "../../../src/agent/doctor.ts";

test.each([
  ["6.18.44-fc-v782", "good"],
  ["6.9.0", "good"],
  ["7.0.1", "good"],
  ["6.8.0-45-generic", "limited"],
  ["5.10.0-30-amd64", "limited"],
])("Linux %s sends requests again to another agent: %s", (version, state) => {
  expect(handOver(version).state).toBe(state);
});
