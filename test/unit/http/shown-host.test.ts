import { expect, test } from "vitest";
import { shownHost } from "../../../src/http/shown-host.ts";

test("a server that listens on every interface is shown under its name or an address of this machine", () => {
  expect(shownHost("192.0.2.1", ["files.example"])).toBe("192.0.2.1");
  expect(shownHost("0.0.0.0", ["files.example", "other.example"])).toBe("files.example");
  expect(shownHost("::")).not.toMatch(/^(::|0\.0\.0\.0)$/);
  expect(shownHost("0.0.0.0")).toMatch(/^\d+\.\d+\.\d+\.\d+$/);
});
