import { expect, test } from "vitest";
import { nodeProblem } from "../../../src/runtime/node-version.ts";

test.each([
  ["22.19.0", "10"],
  ["24.21.0", "10"],
  ["26.10.0", "11"],
])("Node.js %s runs Syncline", (node, napi) => {
  expect(nodeProblem({ node, napi })).toBeUndefined();
});

test.each([
  ["18.20.4", "9"],
  ["20.20.2", "9"],
  ["22.13.1", "9"],
])("Node.js %s is refused, and the message names the required version", (node, napi) => {
  expect(nodeProblem({ node, napi })).toMatchObject({
    code: "not_supported",
    message: `Node.js ${node} cannot run Syncline.`,
    hint: expect.stringContaining("22.19 or newer"),
  });
});
