/** Standard output redirected into a file, while its disk fills up. */
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { fileOutput, writingWith } from "../../../../src/cli/terminal/file-output.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

test("what a write leaves is written by the next one", () => {
  let text = "";
  const output = writingWith((bytes, from) => {
    const some = Buffer.from(bytes.subarray(from, from + 3)).toString();
    text += some;
    return some.length;
  });
  output.write("more than three bytes");
  expect(text).toBe("more than three bytes");
});

test("a disk that is full after a part of a write is an error", async () => {
  let room = 3;
  const output = writingWith((bytes, from) => {
    if (room === 0) throw Object.assign(new Error("ENOSPC"), { code: "ENOSPC" });
    const written = Math.min(room, bytes.length - from);
    room -= written;
    return written;
  });
  output.write("more than three bytes");
  const [error] = (await once(output, "error")) as [Error];
  expect(error).toMatchObject({ code: "ENOSPC" });
});

test("a file is written from where its descriptor stands", async () => {
  const path = join(await temporaryFolder(), "out");
  const descriptor = openSync(path, "w");
  const output = fileOutput(descriptor);
  output?.write("one, ");
  output?.write(Buffer.from("two"));
  closeSync(descriptor);
  expect(readFileSync(path, "utf8")).toBe("one, two");
});
